// The threads of one engine: the caller and its workers run one function together and meet at barriers.
//
// Waiting spins first, because phases last microseconds; whoever waits longer yields the core, and a worker with no run
// in sight sleeps. One engine, one team: two callers must not run on it at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace baton {

class Team {
public:
    explicit Team(int size);
    ~Team();

    const int size;

    // Calls `work(member)` on every member, the caller being member 0; returns when all are done.
    void run(const std::function<void(int)>& work);
    // Every member of a run waits here for all others.
    void meet();
    // Numbers 0, 1, 2, ... shared out among the members, of two kinds; `reset` is called by one member, before a `meet`.
    int64_t next(int kind) { return tickets_[kind].fetch_add(1, std::memory_order_relaxed); }
    void reset() { tickets_[0] = tickets_[1] = 0; }

private:
    void serve(int member);

    alignas(64) std::atomic<uint32_t> run_{0};
    alignas(64) std::atomic<uint32_t> phase_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<int64_t> tickets_[2]{};
    const std::function<void(int)>* work_ = nullptr;
    bool ending_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace baton
