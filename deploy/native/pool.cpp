// A pool of threads that share out numbered tasks.
#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
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

// A job and its next task in one number, so that taking a task says which job it belongs to:
// job (16 bits) | tasks (24) | next task (24).
constexpr int FIELD = 24;
constexpr uint64_t FIELD_MASK = (1u << FIELD) - 1;

struct Pool {
    std::mutex busy;  // held by the caller whose tasks run
    std::mutex sleep;
    std::condition_variable wake;
    std::atomic<uint64_t> cursor{0};
    std::atomic<int32_t> done{0}, helpers{0};
    int32_t workers = 0;
    // Those of the cursor's job while one of its tasks is not done.
    void (*task)(void *, int32_t) = nullptr;
    void *context = nullptr;

    // Takes and runs tasks until none is left. A worker that comes late takes none, and nobody
    // waits for it.
    void share() {
        uint64_t at = cursor.load(std::memory_order_acquire);
        while ((at & FIELD_MASK) < (at >> FIELD & FIELD_MASK)) {
            if (!cursor.compare_exchange_weak(at, at + 1, std::memory_order_acq_rel)) continue;
            task(context, static_cast<int32_t>(at & FIELD_MASK));
            done.fetch_add(1, std::memory_order_release);
            at = cursor.load(std::memory_order_acquire);
        }
    }

    uint64_t job() const { return cursor.load(std::memory_order_acquire) >> 2 * FIELD; }

    void work(int32_t number) {
        for (uint64_t seen = 0;;) {
            for (int spins = 0; job() == seen && spins < SPINS; ++spins) relax();
            if (job() == seen) {
                std::unique_lock<std::mutex> lock(sleep);
                wake.wait(lock, [&] { return job() != seen; });
            }
            seen = job();
            if (number < helpers.load(std::memory_order_relaxed)) share();
        }
    }

    // Fewer where the system gives no more: the tasks are then shared by those there are.
    void start(int32_t wanted) {
        try {
            for (; workers < wanted; ++workers) {
                const int32_t number = workers;
                std::thread([this, number] { work(number); }).detach();
            }
        } catch (const std::system_error &) {
        }
    }

    void run(int32_t count, int32_t threads, void (*function)(void *, int32_t), void *argument) {
        task = function;
        context = argument;
        done.store(0, std::memory_order_relaxed);
        helpers.store(threads - 1, std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(sleep);
            const uint64_t next_job = (job() + 1) << 2 * FIELD;
            cursor.store(next_job | static_cast<uint64_t>(count) << FIELD,
                         std::memory_order_release);
        }
        start(threads - 1);
        wake.notify_all();
        share();
        for (int spins = 0; done.load(std::memory_order_acquire) != count;) {
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
