"""Every metric is declared once, with unit and meaning."""

from prometheus_client.parser import text_string_to_metric_families

from shared import metrics


def test_every_declared_metric_has_a_unit_and_a_meaning_and_a_name_of_its_own() -> None:
    names = [declared.name for declared in metrics.DECLARED]
    assert len(names) == len(set(names))
    assert all(d.unit and d.meaning.endswith(".") and d.name.startswith("headrace_") for d in metrics.DECLARED)


def test_the_exposition_is_valid_and_includes_the_process() -> None:
    families = {family.name for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert "headrace_transaction_seconds" in families
    assert "process_cpu_seconds" in families
