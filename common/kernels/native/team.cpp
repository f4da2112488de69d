#include "team.h"

#include <immintrin.h>

#include <chrono>

namespace baton {

namespace {

constexpr int SPINS = 4000;  // some 40 to 100 microseconds
// A step is a few calls with Python between them. A core that falls asleep meanwhile takes longer to wake than the call
// it is woken for; who asks for the core gets it.
constexpr auto ALERT = std::chrono::milliseconds(2);

}

Team::Team(int size) : size(size) {
    for (int member = 1; member < size; member++) workers_.emplace_back([this, member] { serve(member); });
}

Team::~Team() {
    ending_ = true;
    run_.fetch_add(1, std::memory_order_release);
    run_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void Team::run(const std::function<void(int)>& work) {
    work_ = &work;
    reset();
    if (size > 1) {
        run_.fetch_add(1, std::memory_order_release);
        run_.notify_all();
    }
    work(0);
    meet();
}

void Team::meet() {
    if (size == 1) return;
    uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        phase_.store(phase + 1, std::memory_order_release);
        return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; spins++) {
        if (spins < SPINS)
            _mm_pause();
        else
            std::this_thread::yield();
    }
}

void Team::serve(int member) {
    uint32_t seen = 0;
    while (true) {
        for (int spins = 0; spins < SPINS && run_.load(std::memory_order_acquire) == seen; spins++) _mm_pause();
        const auto asleep_at = std::chrono::steady_clock::now() + ALERT;
        while (run_.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < asleep_at)
            std::this_thread::yield();
        run_.wait(seen, std::memory_order_acquire);
        seen++;
        if (ending_) return;
        (*work_)(member);
        meet();
    }
}

}  // namespace baton

extern "C" {

baton::Team* baton_team_new(int size) { return new baton::Team(size); }

void baton_team_free(baton::Team* team) { delete team; }
}
