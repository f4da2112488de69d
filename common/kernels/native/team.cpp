#include "team.h"

namespace baton {

Team::Team(int size) : size(size), phases_(size) {
    for (int member = 1; member < size; member++) workers_.emplace_back([this, member] { serve(member); });
}

Team::~Team() {
    ending_ = true;
    run_.fetch_add(1, std::memory_order_release);
    run_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void Team::run(const std::function<void(int)>& work) {
    if (size == 1) return work(0);
    work_ = &work;
    next_.store(0, std::memory_order_relaxed);
    inside_.store(0, std::memory_order_release);
    run_.fetch_add(1, std::memory_order_release);
    run_.notify_all();
    phases_[0].reached = 0;
    work(0);
    inside_.fetch_or(CLOSED, std::memory_order_acq_rel);
    for (int spins = 0; inside_.load(std::memory_order_acquire) != CLOSED; spins++) pause(spins);
}

void Team::take_part(int member) {
    int others = inside_.load(std::memory_order_acquire);
    do {
        if (others & CLOSED) return;
    } while (!inside_.compare_exchange_weak(others, others + 1, std::memory_order_acq_rel));
    phases_[member].reached = 0;
    (*work_)(member);
    inside_.fetch_sub(1, std::memory_order_acq_rel);
}

void Team::serve(int member) {
    uint32_t seen = 0;
    while (true) {
        for (int spins = 0; spins < SPINS && run_.load(std::memory_order_acquire) == seen; spins++) _mm_pause();
        run_.wait(seen, std::memory_order_acquire);
        seen = run_.load(std::memory_order_acquire);
        if (ending_) return;
        take_part(member);
    }
}

}  // namespace baton

extern "C" {

baton::Team* baton_team_new(int size) { return new baton::Team(size); }

void baton_team_free(baton::Team* team) { delete team; }
}
