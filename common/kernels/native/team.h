// The threads of one engine: they run one function together, and share out the pieces of each of its phases.
//
// A phase ends when its pieces are done, not when every member has come by: one that is late, because it had to be woken
// or somebody else has its core, finds phases over and hurries on, and holds up nobody but with a piece it has taken.
// Waiting spins first, because phases last microseconds; whoever waits longer yields the core, and a worker with no run
// in sight sleeps. One engine, one team: two callers must not run on it at once.
#pragma once

#include <immintrin.h>

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

    // Calls `work(member)` on every member that is there in time, the caller being member 0; returns when none is in it.
    void run(const std::function<void(int)>& work);

    // The next phase of a run: calls `piece(i)` once for every i below `count`, on whichever member is free, and returns
    // when all are done. Every member calls it for the same phases in the same order. What a member has read since the
    // phase before may be of a later one; what it reads inside a piece is not.
    template <class Piece>
    void share(int member, int64_t count, const Piece& piece) {
        if (size == 1) {
            for (int64_t i = 0; i < count; i++) piece(i);
            return;
        }
        if (count == 0) return;
        const uint64_t phase = phases_[member].reached++;
        uint64_t next = next_.load(std::memory_order_acquire);
        while (next >> 32 == phase && (int64_t)(uint32_t)next < count) {
            if (!next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel)) continue;
            piece((int64_t)(uint32_t)next);
            if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
                done_.store(0, std::memory_order_relaxed);
                next_.store((phase + 1) << 32, std::memory_order_release);
                return;
            }
            next = next_.load(std::memory_order_acquire);
        }
        await([&] { return next_.load(std::memory_order_acquire) >> 32 != phase; });
    }

    // What a piece needs of an earlier one, which some member has taken and will end.
    template <class Ready>
    static void await(const Ready& ready) {
        for (int spins = 0; !ready(); spins++) pause(spins);
    }

private:
    struct alignas(64) Phase {
        uint64_t reached = 0;
    };

    static void pause(int spins) {
        if (spins < SPINS)
            _mm_pause();
        else
            std::this_thread::yield();
    }
    void serve(int member);
    void take_part(int member);

    static constexpr int SPINS = 4000;  // some 40 to 100 microseconds
    static constexpr int CLOSED = 1 << 16;

    alignas(64) std::atomic<uint32_t> run_{0};
    alignas(64) std::atomic<uint64_t> next_{0};  // the phase, and the next of its pieces
    alignas(64) std::atomic<int64_t> done_{0};
    alignas(64) std::atomic<int> inside_{CLOSED};  // workers in the run, and whether others are too late
    std::vector<Phase> phases_;
    const std::function<void(int)>* work_ = nullptr;
    bool ending_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace baton
