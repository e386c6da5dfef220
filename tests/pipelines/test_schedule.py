"""When runs are due and which are run, with clocks that are told the time."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_mlops.errors import ArgumentError
from unified_mlops.pipelines.cron import Cron
from unified_mlops.pipelines.schedule import LONGEST, Schedule, as_dict, from_dict

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


def utc(text):
    return datetime.fromisoformat(f"{text}+00:00")


def new(**given):
    given = {
        "cron": "* * * * *",
        "display_name": "nightly",
        "now": NOON,
        "start_time": None,
    } | given
    return Schedule.new("nightly-1", **given)


def at(schedule, *minutes, until=None):
    """The schedule after a look at each of these minutes after noon, and a second."""
    for minute in minutes:
        schedule = schedule.look(NOON + minute * MINUTE + timedelta(seconds=1))
    return schedule


def minutes(times):
    return [(time - NOON) / MINUTE for time in times]


def due(cron, after, count=3):
    return [f"{time:%m-%dT%H:%M}" for time in islice(Cron(cron).after(utc(after)), count)]


# cron ------------------------------------------------------------------------------------------


def test_a_cron_without_a_zone_is_in_utc():
    assert due("30 6 * * *", "2026-01-01T06:30") == ["01-02T06:30", "01-03T06:30", "01-04T06:30"]


@pytest.mark.parametrize("prefix", ["TZ", "CRON_TZ"])
def test_a_cron_is_due_by_the_clocks_of_its_zone_in_summer_and_winter(prefix):
    cron = f"{prefix}=Europe/Berlin 0 6 * * *"
    assert due(cron, "2026-03-27T12:00") == ["03-28T05:00", "03-29T04:00", "03-30T04:00"]


def test_a_fixed_hour_that_clocks_leave_out_is_due_once_when_it_has_passed():
    # On 29 March 2026 at 02:00 Berlin's clocks go to 03:00, which is 01:00 UTC.
    cron = "TZ=Europe/Berlin 30 2 * * *"
    assert due(cron, "2026-03-28T00:00") == ["03-28T01:30", "03-29T01:00", "03-30T00:30"]


def test_a_fixed_hour_that_clocks_show_twice_is_due_once():
    # On 25 October 2026 at 03:00 Berlin's clocks go back to 02:00.
    cron = "TZ=Europe/Berlin 30 2 * * *"
    assert due(cron, "2026-10-24T12:00", 2) == ["10-25T00:30", "10-26T01:30"]


@pytest.mark.parametrize("within", ["00:00", "00:29", "00:31", "01:00", "01:29", "01:31"])
def test_a_look_within_the_doubled_hour_never_goes_back(within):
    cron = "TZ=Europe/Berlin 30 2 * * *"
    first = due(cron, f"2026-10-25T{within}", 1)
    assert first == (["10-25T00:30"] if within < "00:30" else ["10-26T01:30"])


def test_every_hour_is_every_hour_where_clocks_change():
    cron = "TZ=Europe/Berlin 0 * * * *"
    assert due(cron, "2026-03-29T00:00") == ["03-29T01:00", "03-29T02:00", "03-29T03:00"]
    assert due(cron, "2026-10-25T00:00") == ["10-25T01:00", "10-25T02:00", "10-25T03:00"]


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("* * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("", "five fields"),
        ("61 * * * *", "Bad minute"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("@daily", "five fields"),
        ("TZ=Europe/Atlantis 0 6 * * *", "no time zone 'Europe/Atlantis'"),
        ("TZ=../../etc/passwd 0 6 * * *", "no time zone"),
    ],
)
def test_what_is_no_cron_is_refused_with_the_reason(cron, says):
    with pytest.raises(ArgumentError, match=says):
        new(cron=cron)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["30 2 * * *", "*/20 1-3 * * *", "0 */2 * * *", "15 2 29 3 *", "0,30 2 * * 0"]),
)
def test_due_times_rise_and_starting_anywhere_gives_the_same_ones(moment, zone, fields):
    cron, start = Cron(f"TZ={zone} {fields}"), moment.replace(tzinfo=timezone.utc)
    times = list(islice(cron.after(start), 20))
    assert times == sorted(set(times))
    assert times[0] > start
    for before, after in pairwise(times):
        assert next(cron.after(before)) == after
        assert next(cron.after(after - timedelta(seconds=1))) == after
        assert cron.latest(start, after) == after
        assert cron.latest(before, after - timedelta(seconds=1)) is None


# what is run -----------------------------------------------------------------------------------


def test_nothing_runs_before_the_first_due_time_and_each_due_time_starts_one_run():
    schedule = at(new(max_concurrent_run_count=9), 0.5)
    assert minutes(schedule.running) == [0]
    assert minutes(at(schedule, 0.9).running) == [0]
    assert minutes(at(schedule, 1, 1.5, 2, 2.2).running) == [0, 1, 2]


def test_the_start_and_the_end_are_due_times_themselves_and_none_is_before_or_after():
    schedule = new(
        start_time=NOON + 2 * MINUTE, end_time=NOON + 3 * MINUTE, max_concurrent_run_count=9
    )
    schedule = at(schedule, 0, 1, 2, 3, 4, 5)
    assert minutes(schedule.running) == [2, 3]
    assert schedule.state == "COMPLETED"
    assert schedule.next_run_time is None


def test_where_there_is_no_room_a_run_is_skipped():
    schedule = at(new(), 0, 1, 2)
    assert minutes(schedule.running) == [0]
    assert (schedule.queue, schedule.skipped_run_count) == ((), 2)
    schedule = at(schedule.ended(NOON), 2.5, 3)
    assert minutes(schedule.running) == [3]


def test_where_queueing_is_allowed_a_run_waits_until_there_is_room():
    schedule = at(new(allow_queueing=True), 0, 1, 2)
    assert minutes(schedule.queue) == [1, 2]
    assert schedule.next_run_time == NOON + MINUTE
    schedule = at(schedule.ended(NOON), 2.5)
    assert (minutes(schedule.running), minutes(schedule.queue)) == ([1], [2])
    assert schedule.skipped_run_count == 0


def test_so_many_runs_at_once_as_there_may_be():
    schedule = at(new(allow_queueing=True, max_concurrent_run_count=2), 0, 1, 2, 3)
    assert (minutes(schedule.running), minutes(schedule.queue)) == ([0, 1], [2, 3])


def test_after_its_runs_it_is_completed():
    schedule = at(new(max_run_count=2, max_concurrent_run_count=9), 0)
    assert schedule.state == "ACTIVE"
    schedule = at(schedule, 1, 2, 3)
    assert (minutes(schedule.running), schedule.state) == ([0, 1], "COMPLETED")
    for change in (
        lambda: schedule.paused(NOON),
        lambda: schedule.resumed(NOON, catch_up=True),
        lambda: schedule.updated(NOON, cron="0 0 * * *"),
    ):
        with pytest.raises(ArgumentError, match="is completed"):
            change()


def test_a_skipped_run_does_not_count_as_run():
    schedule = at(new(max_run_count=2), 0, 1, 2)
    assert (schedule.started_run_count, schedule.state) == (1, "ACTIVE")


def test_what_waits_is_run_after_the_end():
    schedule = at(new(allow_queueing=True, end_time=NOON + 2 * MINUTE), 0, 1, 2, 3)
    assert (minutes(schedule.queue), schedule.state) == ([1, 2], "ACTIVE")
    schedule = at(schedule.ended(NOON), 4)
    schedule = at(schedule.ended(NOON + MINUTE), 5)
    assert (minutes(schedule.running), schedule.state) == ([2], "COMPLETED")


# what was missed -------------------------------------------------------------------------------


def test_of_what_was_missed_while_nobody_looked_the_last_is_run():
    schedule = at(at(new(), 0).ended(NOON), 30.5)
    assert (minutes(schedule.running), schedule.queue) == ([30], ())


def test_with_catch_up_all_that_was_missed_is_run_in_order_and_waits_for_room():
    schedule = at(at(new(catch_up=True), 0).ended(NOON), 5.5)
    assert minutes(schedule.running) == [1]
    # The one that became due in time finds no room, as ever; the missed ones wait for it.
    assert minutes(schedule.queue) == [2, 3, 4]
    assert schedule.skipped_run_count == 1


def test_a_paused_schedule_starts_nothing_and_what_runs_goes_on():
    schedule = at(at(new(), 0).paused(NOON), 1, 2)
    assert (minutes(schedule.running), schedule.state) == ([0], "PAUSED")
    assert schedule.next_run_time is None
    assert schedule.last_pause_time == NOON


def test_resumed_without_catch_up_it_runs_what_is_due_from_then_on():
    schedule = new(allow_queueing=True, max_concurrent_run_count=2).paused(NOON)
    schedule = at(schedule.resumed(NOON + 10.5 * MINUTE, catch_up=False), 10.6)
    assert (schedule.running, schedule.queue) == ((), ())
    assert schedule.next_run_time == NOON + 11 * MINUTE
    assert minutes(at(schedule, 11).running) == [11]


def test_resumed_with_catch_up_it_runs_all_that_was_missed():
    schedule = at(new(), 0).ended(NOON).paused(NOON)
    schedule = at(schedule.resumed(NOON + 3.5 * MINUTE, catch_up=True), 3.5)
    assert (minutes(schedule.running), minutes(schedule.queue)) == ([1], [2, 3])
    assert schedule.catch_up


def test_only_what_is_paused_is_resumed():
    with pytest.raises(ArgumentError, match="is not paused"):
        new().resumed(NOON, catch_up=True)


def test_a_start_in_the_past_counts_only_with_catch_up():
    past = NOON - 3 * MINUTE
    assert minutes(at(new(start_time=past, max_concurrent_run_count=9), 0).running) == [0]
    schedule = at(new(start_time=past, catch_up=True, max_concurrent_run_count=9), 0)
    assert minutes(schedule.running) == [-3, -2, -1, 0]


def test_a_year_that_was_missed_is_caught_up_bit_by_bit():
    schedule = new(start_time=NOON - timedelta(days=365), catch_up=True)
    schedule = schedule.look(NOON)
    assert len(schedule.queue) == LONGEST - 1
    first = schedule.running[0]
    schedule = schedule.ended(first).look(NOON)
    assert schedule.running == (first + MINUTE,)
    assert schedule.skipped_run_count == 0


# changing and keeping --------------------------------------------------------------------------


def test_another_cron_counts_from_the_change_on():
    schedule = at(new(), 0).ended(NOON)
    schedule = schedule.updated(NOON + 5.5 * MINUTE, cron="*/10 * * * *")
    assert minutes(at(schedule, 6, 9).running) == []
    assert minutes(at(schedule, 10).running) == [10]


@pytest.mark.parametrize(
    "given",
    [
        {"max_run_count": 0},
        {"max_concurrent_run_count": 0},
        {"end_time": NOON - MINUTE},
        {"cron": "x"},
        {"job": {"name_template": "{nothing}"}},
        {"job": {"name_template": "{"}},
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made_and_when_it_is_changed(given):
    with pytest.raises(ArgumentError):
        new(**given)
    with pytest.raises(ArgumentError):
        new().updated(NOON, **given)


def test_a_job_is_named_by_the_template_with_the_time_of_the_zone():
    schedule = new(cron="TZ=Europe/Berlin 0 6 * * *", job={"pipeline": "train"})
    six = utc("2026-07-01T04:00")
    assert schedule.job_name(six) == "nightly-20260701T060000"
    named = replace(
        schedule, job={"pipeline": "train", "name_template": "{pipeline} {time:%d.%m.}"}
    )
    assert named.job_name(six) == "train 01.07."


def test_each_due_time_has_an_id_of_its_own_also_where_clocks_show_it_twice():
    schedule = new(cron="TZ=Europe/Berlin 30 * * * *")
    twice = list(islice(Cron(schedule.cron).after(utc("2026-10-25T00:00")), 2))
    assert len({schedule.job_name(time) for time in twice}) == 1
    assert len({schedule.job_id(time) for time in twice}) == 2


def test_an_error_is_kept_with_the_run_that_was_last_started():
    schedule = at(new(max_concurrent_run_count=2), 0, 1)
    assert schedule.ended(NOON, "no").last_run["error"] == ""
    assert schedule.ended(NOON + MINUTE, "no").last_run["error"] == "no"


def test_what_is_written_is_read_back():
    schedule = at(new(allow_queueing=True, end_time=NOON + timedelta(days=1)), 0, 1).paused(NOON)
    assert from_dict(as_dict(schedule)) == schedule


@given(st.data())
def test_every_due_time_is_decided_once_however_one_looks(data):
    """Against an oracle: nothing is doubled, and what is not skipped or missed is run."""
    limit = data.draw(st.integers(1, 3))
    catch_up, queueing = data.draw(st.booleans()), data.draw(st.booleans())
    schedule = new(
        catch_up=catch_up, allow_queueing=queueing, max_concurrent_run_count=limit, start_time=NOON
    )
    begun, now = [], 0.0
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(st.sampled_from([0.1, 0.5, 1, 3]))
        before = set(schedule.running)
        schedule = from_dict(as_dict(at(schedule, now)))
        begun += [time for time in schedule.running if time not in before]
        assert len(schedule.running) <= limit
        if schedule.running and data.draw(st.booleans()):
            schedule = schedule.ended(data.draw(st.sampled_from(schedule.running)))
    assert begun == sorted(set(begun))
    assert schedule.started_run_count == len(begun)
    decided = len(begun) + len(schedule.queue) + schedule.skipped_run_count
    passed = int(now + 1 / 60) + 1
    assert decided == passed if catch_up else decided <= passed
    assert catch_up or queueing or not schedule.queue
