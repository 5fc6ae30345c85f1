from dataclasses import replace

from bench.report import Figure, Machine, Section, merged, page

MACHINE = Machine("A CPU", 2, 23.7, "6.18", "3.11.7", "2026-11-22")


def test_without_a_target_nothing_is_judged() -> None:
    figure = Figure("decisions", 8376, "")
    assert figure.met is None
    assert figure.verdict == "-"


def test_lower_is_better_by_default_and_the_target_itself_is_met() -> None:
    assert Figure("memory", 180, "MB", target=180).met is True
    assert Figure("memory", 179.9, "MB", target=180).verdict == "met"
    assert Figure("memory", 180.1, "MB", target=180).met is False


def test_higher_is_better_where_it_says_so_and_the_target_itself_is_met() -> None:
    assert Figure("ratio", 0.75, "", target=0.75, better="higher").verdict == "met"
    assert Figure("ratio", 0.76, "", target=0.75, better="higher").met is True
    assert Figure("ratio", 0.74, "", target=0.75, better="higher").met is False


def test_a_missed_target_says_by_how_much_in_units_and_percent() -> None:
    assert Figure("memory", 200, "MB", target=180).verdict == "missed by 20 MB (11 %)"
    assert Figure("ratio", 0.6, "", target=0.75, better="higher").verdict == "missed by 0.15 (20 %)"
    assert Figure("memory", 470, "MB", target=180).verdict == "missed by 290 MB (161 %)"


def test_a_miss_that_rounding_would_hide_is_still_a_miss() -> None:
    assert Figure("ratio", 0.7499, "", target=0.75, better="higher").verdict == "missed by 0.0001 (0.013 %)"


def test_values_are_written_in_four_figures_and_never_as_powers_of_ten() -> None:
    assert Figure("rate", 31245.678, "/s").shown == "31,246 /s"
    assert Figure("rate", 1234567.0, "/s").shown == "1,234,567 /s"
    assert Figure("ratio", 0.73211, "").shown == "0.7321"
    assert Figure("time", 4.17149, "µs").shown == "4.171 µs"
    assert Figure("nothing", 0.0, "MB").shown == "0 MB"
    assert Figure("parity", 0.0000421, "").shown == "0.0000421"


def test_the_page_names_machine_and_day_and_has_a_table_for_each_section() -> None:
    sections = [
        Section("Memory", "How it was measured.", [Figure("whole", 200, "MB", target=180, note="the aim")]),
        Section("Replay", "Another way.", [Figure("rate", 500, "/s", target=476, better="higher")]),
    ]
    text = page(MACHINE, sections)
    assert "A CPU, 2 cores, 24 GiB, Linux 6.18, Python 3.11.7, 2026-11-22" in text
    assert text.index("## Memory") < text.index("How it was measured.") < text.index("| whole (the aim)")
    assert "| whole (the aim) | ≤ 180 MB | 200 MB | **missed by 20 MB (11 %)** |" in text
    assert "| rate | ≥ 476 /s | 500 /s | met |" in text
    assert text.endswith("\n")


def test_the_page_begins_with_the_count_of_targets_met_and_the_missed_ones_by_name() -> None:
    sections = [
        Section("Memory", "", [Figure("whole", 200, "MB", target=180), Figure("part", 3, "MB")]),
        Section("Replay", "", [Figure("rate", 500, "/s", target=476, better="higher")]),
    ]
    head = page(MACHINE, sections).split("## ")[0]
    assert "1 of 2 targets met" in head
    assert "- whole: 200 MB, missed by 20 MB (11 %)" in head
    assert "- rate" not in head


def test_a_section_that_could_not_be_measured_says_why_and_counts_as_missing() -> None:
    text = page(MACHINE, [Section("Time to Ready", "", [], failure="no containerd")])
    assert "Not measured: no containerd" in text
    assert "not measured: Time to Ready" in text.split("## ")[0]


def test_sections_measured_again_take_the_place_of_the_old_ones_and_count_in_the_sum() -> None:
    memory = Section("Memory", "Memory of it.", [Figure("whole", 200, "MB", target=180, note="the aim")])
    rate = Section(
        "Replay", "Its rate.", [Figure("rate", 500, "/s", target=476, better="higher"), Figure("all", 3, "")]
    )
    text = page(MACHINE, [memory, rate])
    later = replace(MACHINE, day="2026-11-23", load=1.5)
    # Nothing measured again changes nothing, and nor does what could not be measured.
    assert merged(text, later, []) == text
    assert merged(text, later, [Section("Memory", "", [], failure="no room")]) == text
    better = replace(memory, figures=[Figure("whole", 170, "MB", target=180)])
    volume = Section("Volume", "What it takes.", [Figure("year", 9, "MB", target=8)])
    again = merged(text, later, [better, volume])
    assert again.startswith(
        text[: text.index("**")] + "**2 of 3 targets met.**\n\n- year: 9 MB, missed by 1 MB (12 %)\n"
    )
    assert f"Memory of it. Measured apart on 2026-11-23, {MACHINE.cpu}, load 1.5.\n" in again
    assert again.count("## Memory") == 1
    places = [again.index(f"## {name}") for name in ("Memory", "Replay", "Volume")]
    assert places == sorted(places)
    assert merged(again, later, []) == again
