from environ.environ import Env as Env
