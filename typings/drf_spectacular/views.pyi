from rest_framework.views import APIView

class SpectacularAPIView(APIView): ...

class SpectacularSwaggerView(APIView):
    url_name: str

class SpectacularSwaggerSplitView(SpectacularSwaggerView): ...
