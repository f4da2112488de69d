"""Which processes run, with flags their own configurations understand."""

from baton.cli.child import ChildSpec
from baton.cli.plan import plan, reachable, seat, share
from common.types.config import RouterConfig, UpConfig, WorkerConfig
from common.types.resolve import resolve


def worker(spec: ChildSpec) -> WorkerConfig:
    return resolve(WorkerConfig, spec.argv[3:], {}, {})


def test_router_first_then_both_pools() -> None:
    specs = plan(UpConfig(model="m", prefill=1, decode=2), [0, 1, 2, 3], {})
    assert [spec.name for spec in specs] == ["router", "prefill-0", "decode-0", "decode-1"]
    assert [spec.stage for spec in specs] == [0, 1, 1, 1]
    assert [spec.argv[2] for spec in specs] == ["router", "prefill_worker", "decode_worker", "decode_worker"]


def test_flags_are_understood_by_those_who_get_them() -> None:
    config = UpConfig(
        model="m", model_id="id", grpc="127.0.0.1:1", fleet="0.0.0.0:2", expose=True, kv_memory=1 << 30, drain_s=5
    )
    router, prefill, _ = plan(config, [0, 1], {"A": "b"})
    seen = resolve(RouterConfig, router.argv[3:], {}, {})
    assert (seen.model, seen.model_id, seen.grpc, seen.fleet, seen.expose) == (
        "m",
        "id",
        "127.0.0.1:1",
        "0.0.0.0:2",
        True,
    )
    assert seen.timeouts.drain_s == 5
    assert worker(prefill).routers == ("127.0.0.1:2",)
    assert (worker(prefill).name, worker(prefill).kv_memory) == ("prefill-0", 1 << 30)
    assert router.environment == {"A": "b"}


def test_all_processes_are_told_the_goals() -> None:
    router, prefill, decode = plan(UpConfig(model="m", ttft_goal_ms=700, tpot_goal_ms=0), [0, 1], {})
    for timeouts in (resolve(RouterConfig, router.argv[3:], {}, {}).timeouts, worker(decode).timeouts):
        assert (timeouts.ttft_goal_ms, timeouts.tpot_goal_ms) == (700, 0)
    assert worker(prefill).timeouts.ttft_goal_ms == 700


def test_workers_get_cores_of_their_own_when_there_are_enough() -> None:
    router, prefill, decode = plan(UpConfig(model="m"), [0, 1, 2, 3, 4], {})
    assert (worker(prefill).cores, worker(prefill).threads) == ("1,2", 2)
    assert (worker(decode).cores, worker(decode).threads) == ("3,4", 2)
    assert router.cores == (0,)
    assert [(worker(spec).loop_cores, worker(spec).nice) for spec in (prefill, decode)] == [("0", 0), ("0", 0)]


def test_with_few_cores_all_else_shares_those_of_prefill_which_steps_back() -> None:
    router, prefill, decode = plan(UpConfig(model="m"), [0, 1], {})
    assert (worker(prefill).cores, worker(prefill).loop_cores, worker(prefill).nice) == ("0", "0", 20)
    assert (worker(decode).cores, worker(decode).loop_cores, worker(decode).nice) == ("1", "0", 0)
    assert router.cores == (0,)
    _, first, second, decode = plan(UpConfig(model="m", prefill=2), [0, 1, 2, 3], {})
    assert [worker(spec).cores for spec in (first, second, decode)] == ["0,1", "2", "3"]
    assert worker(decode).loop_cores == "0,1,2"


def test_a_worker_that_drives_a_device_does_not_step_back() -> None:
    router, prefill, decode = plan(UpConfig(model="m", devices=("cuda:0", "cuda:1")), [0, 1], {})
    assert (worker(prefill).nice, worker(prefill).loop_cores, worker(decode).loop_cores) == (0, "", "")
    assert router.cores == ()


def test_no_core_is_left_out_and_none_of_decode_is_shared() -> None:
    for num_cores in range(1, 70):
        for num_prefill in range(1, 4):
            seats = seat(list(range(num_cores)), num_prefill, 1, True)
            computing = [core for each in seats.computing for core in each]
            assert not computing or sorted({*computing, *seats.rest}) == list(range(num_cores))
            assert len(set(computing)) == len(computing)
            assert not computing or not set(seats.computing[-1]) & set(seats.rest)


def test_too_few_cores_are_shared() -> None:
    _, prefill, *_ = plan(UpConfig(model="m", decode=3), [0, 1], {})
    assert (worker(prefill).cores, worker(prefill).threads) == ("", 1)
    assert (worker(prefill).loop_cores, worker(prefill).nice) == ("", 0)


def test_pinning_can_be_refused_and_threads_set() -> None:
    _, prefill, decode = plan(UpConfig(model="m", pin=False), [0, 1, 2, 3], {})
    assert (worker(prefill).cores, worker(decode).threads) == ("", 2)
    _, prefill, _ = plan(UpConfig(model="m", threads=7), [0, 1, 2, 3], {})
    assert worker(prefill).threads == 7


def test_all_workers_keep_kv_in_one_type() -> None:
    router, *workers = plan(UpConfig(model="m", devices=("cuda:0", "cuda:1"), kv_dtype="fp8", decode=2), [0], {})
    assert [worker(spec).kv_dtype for spec in workers] == ["fp8"] * 3
    assert not any("kv-dtype" in flag for flag in router.argv)


def test_shares_are_disjoint_and_whole() -> None:
    for num_cores in range(1, 20):
        for num_shares in range(1, num_cores + 1):
            shares = share(list(range(num_cores)), num_shares)
            assert sorted(core for each in shares for core in each) == list(range(num_cores))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert share([0, 1], 3) == ()


def test_an_any_address_is_not_dialled() -> None:
    assert reachable("0.0.0.0:5") == "127.0.0.1:5"
    assert reachable("[::]:5") == "[::1]:5"
    assert reachable("host:5") == "host:5"


def test_workers_take_the_devices_in_turn_and_share_their_memory_out() -> None:
    _, *specs = plan(UpConfig(model="m", prefill=1, decode=2, devices=("cuda:1", "cuda:0")), [0], {})
    assert [worker(spec).device for spec in specs] == ["cuda:1", "cuda:0", "cuda:1"]
    assert [worker(spec).device_share for spec in specs] == [0.45, 0.9, 0.45]


def test_workers_on_the_cpu_are_told_so() -> None:
    _, *specs = plan(UpConfig(model="m"), [0], {})
    assert [worker(spec).device for spec in specs] == ["cpu", "cpu"]
