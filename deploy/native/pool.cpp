// A pool of threads that share out numbered tasks.
#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace evobit {
namespace {

constexpr int32_t MAX_THREADS = 256;
constexpr int SPINS = 4000;  // some 20 to 100 us: the time between two layers of a network

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

struct Pool {
    std::mutex busy;  // held by the caller whose tasks run
    std::mutex sleep;
    std::condition_variable wake;
    std::atomic<uint64_t> job{0};  // number of the job on offer
    int32_t workers = 0;

    void (*task)(void *, int32_t) = nullptr;
    void *context = nullptr;
    int32_t count = 0, helpers = 0;
    std::atomic<int32_t> next{0}, unfinished{0};

    void share() {
        for (int32_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) task(context, i);
    }

    // Every worker answers to every job, so a job's fields stay until all have seen it.
    void work(int32_t number, uint64_t seen) {
        for (;;) {
            int spins = 0;
            while (job.load(std::memory_order_acquire) == seen) {
                if (++spins < SPINS) {
                    relax();
                    continue;
                }
                std::unique_lock<std::mutex> lock(sleep);
                wake.wait(lock, [&] { return job.load(std::memory_order_acquire) != seen; });
            }
            ++seen;
            if (number < helpers) share();
            unfinished.fetch_sub(1, std::memory_order_release);
        }
    }

    void start(int32_t wanted) {
        for (; workers < wanted; ++workers) {
            const int32_t number = workers;
            const uint64_t seen = job.load();
            std::thread([this, number, seen] { work(number, seen); }).detach();
        }
    }

    void run(int32_t tasks, int32_t threads, void (*function)(void *, int32_t), void *argument) {
        start(threads - 1);
        task = function;
        context = argument;
        count = tasks;
        helpers = threads - 1;
        next.store(0);
        unfinished.store(workers);
        {
            std::lock_guard<std::mutex> lock(sleep);
            job.fetch_add(1, std::memory_order_release);
        }
        wake.notify_all();
        share();
        for (int spins = 0; unfinished.load(std::memory_order_acquire) != 0;) {
            if (++spins < SPINS) {
                relax();
            } else {
                std::this_thread::yield();
            }
        }
    }
};

// Never destroyed: its threads sleep until the process ends.
Pool *pool = new Pool;
std::atomic<int32_t> num_threads{1};

#if !defined(_WIN32)
// A forked child has the memory of the pool and none of its threads.
const int registered = pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif

}  // namespace

void set_threads(int32_t threads) {
    num_threads.store(threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads);
}

int32_t get_threads() { return num_threads.load(); }

void run_tasks(int32_t count, int32_t threads, void (*task)(void *, int32_t), void *context) {
    if (threads > 1 && count > 1 && pool->busy.try_lock()) {
        std::lock_guard<std::mutex> lock(pool->busy, std::adopt_lock);
        pool->run(count, threads < count ? threads : count, task, context);
        return;
    }
    for (int32_t i = 0; i < count; ++i) task(context, i);
}

}  // namespace evobit
