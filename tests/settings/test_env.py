"""Where a setting's value comes from, and what happens to a bad one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gateway_project import env, env_files
from gateway_project.env import SettingsError, get_settings, reload_settings
from gateway_project.node_variables import DEVELOPMENT_KEY
from gateway_project.redis_place import redis_place


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory without files, and a process environment without ENV_FILE."""
    monkeypatch.setattr(env_files, "PROJECT_DIRECTORY", tmp_path)
    for name in ("ENVIRONMENT", "ENV_FILE", "VAR_DIRECTORY", "DEBUG"):
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def _forget() -> object:
    yield
    get_settings.cache_clear()


def write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")


def test_nothing_set_gives_the_declared_defaults(project: Path) -> None:
    settings = get_settings()
    assert (settings.port, settings.debug, settings.environment) == (8001, False, "default")
    assert settings.var_directory == project / "var"
    assert settings.env_file is None


def test_the_process_environment_wins_over_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / ".env", "PORT=9000\nHOST=10.0.0.1\n")
    monkeypatch.setenv("PORT", "9001")
    settings = get_settings()
    assert (settings.host, settings.port) == ("10.0.0.1", 9001)


def test_an_empty_variable_hides_the_file_and_means_the_default(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / ".env", "REDIS_HOST=redis\nPORT=9000\n")
    monkeypatch.setenv("REDIS_HOST", "")
    monkeypatch.setenv("PORT", "")
    settings = get_settings()
    assert (settings.redis_host, settings.port) == ("", 8001)


@pytest.mark.parametrize("name", ["dev", "development"])
def test_an_environment_reads_its_own_file(project: Path, name: str) -> None:
    write(project / ".env", "PORT=9000\n")
    write(project / ".env.dev", "PORT=9002\n")
    assert get_settings(name).port == 9002


def test_an_environment_without_a_file_falls_back(project: Path) -> None:
    write(project / ".env", "PORT=9000\n")
    settings = get_settings("prod")
    assert (settings.port, settings.environment) == (9000, "prod")


def test_the_environment_variable_chooses(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / ".env.prod", "PORT=9003\n")
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert get_settings().port == 9003


def test_the_default_file_may_name_its_environment(project: Path) -> None:
    write(project / ".env", "ENVIRONMENT=prod\n")
    assert get_settings().auth_token_enabled is False


def test_defaults_differ_between_environments() -> None:
    assert get_settings("dev").debug is True
    assert get_settings("prod").debug is False
    assert get_settings("prod").admin_https is True


def test_a_file_can_be_named(project: Path) -> None:
    write(project / "other", "PORT=9004\n")
    assert get_settings(env_file_path=str(project / "other")).port == 9004


def test_a_named_file_must_exist(project: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        get_settings(env_file_path=str(project / "absent"))


def test_an_unknown_environment_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"^ENVIRONMENT=staging: one of default, dev"):
        get_settings("staging")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "abc", "whole number from 1 to 65535"),
        ("PORT", "65536", "whole number from 1 to 65535"),
        ("PORT", "8_001", "whole number from 1 to 65535"),
        ("PORT", "٨٠٠١", "whole number from 1 to 65535"),
        ("REDIS_TIMEOUT", "nan", "number from 0.001 to 10"),
        ("DEBUG", "maybe", "true or false"),
        ("LOG_FORMAT", "xml", "one of json, text"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "list of addresses or CIDR networks"),
        ("REDIS_CLUSTER_NODES", "one:6379,two", "comma-separated list of host:port"),
        ("JWT_ALGORITHM", "none", "one of HS256"),
        ("JWT_JWKS_URL", "http://issuer.example/keys", "https:// URL, or http:// on a loopback"),
        ("JWT_ISSUERS", "a=https://a/k,b=http://b/k", "comma-separated list of issuer=jwks_url"),
        ("JAEGER_ENDPOINT", "http://", "http:// or https:// URL"),
        ("REDIS_URL", "redis:host", "redis://, rediss:// or unix:// URL"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refusal:
        get_settings()
    message = str(refusal.value)
    assert message.startswith(f"{name}=")
    assert allowed in message
    assert message.isascii()
    assert "\n" not in message


def test_a_bad_value_of_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "oracle://scott:tiger@db/x")
    with pytest.raises(SettingsError) as refusal:
        get_settings()
    assert "tiger" not in str(refusal.value)
    assert str(refusal.value).startswith("DATABASE_URL=(not shown): mysql://")


def test_words_for_yes_and_no_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_ENABLED", "Off")
    monkeypatch.setenv("TRACING_ENABLED", "1")
    settings = get_settings()
    assert (settings.rate_limit_enabled, settings.tracing_enabled) == (False, True)


def test_choices_ignore_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "warning")
    assert get_settings().log_level == "WARNING"


def test_a_list_drops_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "a.example, b.example,,")
    assert get_settings().allowed_hosts == ("a.example", "b.example")


def test_a_secret_is_read_from_a_file_without_its_last_newline(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "secret", "s3cret \n\n")
    monkeypatch.setenv("MYSQL_PASSWORD_FILE", str(project / "secret"))
    assert get_settings().mysql_password == "s3cret \n"


def test_a_missing_secret_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_PASSWORD_FILE", "/nowhere/secret")
    with pytest.raises(SettingsError, match=r"^MYSQL_PASSWORD_FILE=/nowhere/secret: path of"):
        get_settings()


def test_a_secret_and_its_file_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_PASSWORD", "one")
    monkeypatch.setenv("MYSQL_PASSWORD_FILE", "/two")
    with pytest.raises(SettingsError, match="keep one of them"):
        get_settings()


def test_a_file_keeps_a_hash_and_a_dollar_and_drops_a_comment(project: Path) -> None:
    write(project / ".env", "MYSQL_PASSWORD=$a#b  # the password\nREDIS_PASSWORD='x # y'\n")
    settings = get_settings()
    assert (settings.mysql_password, settings.redis_password) == ("$a#b", "x # y")


def test_a_line_that_is_no_assignment_is_refused_without_showing_it(project: Path) -> None:
    write(project / ".env", "PORT=9000\nSECRET KEY hunter2\n")
    with pytest.raises(SettingsError, match=r"\.env line 2: NAME=value is allowed") as refusal:
        get_settings()
    assert "hunter2" not in str(refusal.value)


def test_a_byte_order_mark_before_the_first_line_is_no_part_of_it(project: Path) -> None:
    write(project / ".env", "\ufeffPORT=9000\n")
    assert get_settings().port == 9000


@pytest.mark.parametrize(
    "value", ["", "  ", DEVELOPMENT_KEY, "your_secret_key", " changeme ", "django-insecure-x"]
)
@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
def test_without_debug_a_known_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}="):
        get_settings()


def test_with_debug_a_known_key_stands_in_for_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "true")
    monkeypatch.setenv("SECRET_KEY", "")
    monkeypatch.setenv("JWT_SECRET_KEY", "")
    settings = get_settings()
    assert settings.secret_key == settings.jwt_secret_key == DEVELOPMENT_KEY


def test_an_asymmetric_algorithm_needs_no_shared_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "")
    monkeypatch.setenv("JWT_ALGORITHM", "rs256")
    assert get_settings().jwt_algorithm == "RS256"


@pytest.mark.parametrize("variable", [{"DEPLOYMENT_MODE": "cluster"}, {"CLUSTER_ENABLED": "true"}])
def test_either_variable_means_cluster_mode(
    monkeypatch: pytest.MonkeyPatch, variable: dict[str, str]
) -> None:
    assert not get_settings().is_cluster_mode
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    assert reload_settings().is_cluster_mode


def test_cluster_nodes_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_CLUSTER_NODES", "node1:6379,node2:6379")
    monkeypatch.setenv("MYSQL_CLUSTER_NODES", "db1:3306")
    monkeypatch.setenv("MYSQL_CLUSTER_READ_REPLICAS", "[::1]:3307")
    settings = get_settings()
    assert settings.redis_cluster_nodes_list == ["node1:6379", "node2:6379"]
    assert settings.mysql_cluster_nodes_list == ["db1:3306"]
    assert settings.mysql_read_replicas_list == ["[::1]:3307"]


def test_a_redis_cluster_has_a_patience_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_CLUSTER_SOCKET_TIMEOUT", "0.5")
    monkeypatch.setenv("REDIS_CLUSTER_MAX_CONNECTIONS", "7")
    place = redis_place(get_settings())
    assert (place["timeout"], place["max_connections"]) == (0.1, 50)
    monkeypatch.setenv("REDIS_CLUSTER_ENABLED", "true")
    place = redis_place(reload_settings())
    assert (place["timeout"], place["max_connections"]) == (0.5, 7)


def test_a_node_is_called_what_its_way_of_deployment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINGLE_INSTANCE_ID", "alone")
    monkeypatch.setenv("CLUSTER_NODE_ID", "third")
    assert get_settings().node_name == "alone"
    monkeypatch.setenv("DEPLOYMENT_MODE", "cluster")
    assert reload_settings().node_name == "third"
    monkeypatch.setenv("NODE_ID", "mine")
    assert reload_settings().node_name == "mine"


def test_settings_are_read_once_until_reloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_settings()
    monkeypatch.setenv("PORT", "9005")
    assert get_settings() is first
    assert reload_settings().port == 9005


def test_settings_cannot_be_changed() -> None:
    settings: Any = get_settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1


def test_no_secret_shows_in_the_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@redis:6379/0")
    shown = repr(get_settings())
    assert "hunter2" not in shown
    assert "port=8001" in shown


def test_environments_with_a_file_are_listed(project: Path) -> None:
    write(project / ".env", "")
    write(project / ".env.prod", "")
    assert env.get_available_environments() == ["default", "prod"]


def test_names_a_file_sets_in_vain_are_known(project: Path) -> None:
    write(project / ".env", "RATE_LIMIT_ENABLE=false\nSECRET_KEY_FILE=\nPORT=1\n")
    assert get_settings().undeclared == ("RATE_LIMIT_ENABLE",)


def test_the_port_of_jaegers_removed_agent_is_read_as_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAEGER_AGENT_PORT", "6831")
    assert get_settings().tracing_endpoint == "http://localhost:4318/v1/traces"


def test_log_files_follow_the_directory_or_their_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_DIRECTORY", "/logs")
    monkeypatch.setenv("LOG_AUDIT_FILE", "/safe/audit.log")
    settings = get_settings()
    assert settings.log_file("request") == "/logs/request.log"
    assert settings.log_file("audit") == "/safe/audit.log"
