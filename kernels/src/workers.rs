//! Threads that share a layer's work: they wait, without using the processor, until a layer
//! has something for them, and stay awake for some microseconds after it for the next layer.

use alloc::boxed::Box;
use core::fmt;

/// What a worker does: the job's number and the worker's.
pub(crate) type Job<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// A fixed number of workers. One worker is the caller itself, and then there is no thread at all.
pub struct Workers {
    #[cfg(feature = "std")]
    crew: Option<Box<threads::Crew>>,
    #[cfg(not(feature = "std"))]
    crew: core::marker::PhantomData<Box<()>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("count", &self.count()).finish()
    }
}

impl Workers {
    /// Only the caller.
    pub fn one() -> Self {
        Self { crew: Default::default() }
    }

    /// The caller and `count - 1` threads (0 counts as 1). Threads that the system refuses are
    /// done without.
    #[cfg(feature = "std")]
    pub fn new(count: usize) -> Self {
        Self { crew: (count > 1).then(|| Box::new(threads::Crew::new(count))) }
    }

    /// How many there are, the caller included.
    pub fn count(&self) -> usize {
        #[cfg(feature = "std")]
        return self.crew.as_ref().map_or(1, |crew| crew.count());
        #[cfg(not(feature = "std"))]
        1
    }

    /// Does all jobs, each once, and returns when all are done.
    pub(crate) fn run(&self, jobs: usize, job: Job) {
        #[cfg(feature = "std")]
        if let Some(crew) = self.crew.as_ref().filter(|_| jobs > 1) {
            return crew.run(jobs, job);
        }
        (0..jobs).for_each(|index| job(index, 0));
    }
}

#[cfg(feature = "std")]
mod threads {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread::{JoinHandle, Thread};
    use std::time::{Duration, Instant};
    use std::vec::Vec;

    use super::Job;

    /// How long a worker without work stays awake: longer than the pause between two layers.
    const AWAKE: Duration = Duration::from_micros(50);

    /// What the caller and the threads share. `round` and `busy` are all the synchronisation:
    /// the caller writes `task`, sets `busy` and raises `round`; a thread that sees the new round
    /// reads `task`, and lowers `busy` when it has done with it.
    struct Shared {
        /// The jobs of this round; only ever read by threads between `round` and `busy`.
        task: Mutex<Option<Task>>,
        round: AtomicUsize,
        next: AtomicUsize,
        busy: AtomicUsize,
        panicked: AtomicBool,
        stop: AtomicBool,
    }

    #[derive(Clone, Copy)]
    struct Task {
        jobs: usize,
        job: Job<'static>,
    }

    pub(super) struct Crew {
        shared: Arc<Shared>,
        threads: Vec<JoinHandle<()>>,
        /// One caller at a time.
        turn: Mutex<()>,
    }

    impl Crew {
        pub(super) fn new(count: usize) -> Self {
            let shared = Arc::new(Shared {
                task: Mutex::new(None),
                round: AtomicUsize::new(0),
                next: AtomicUsize::new(0),
                busy: AtomicUsize::new(0),
                panicked: AtomicBool::new(false),
                stop: AtomicBool::new(false),
            });
            let threads = (1..count).map_while(|worker| {
                let shared = shared.clone();
                let builder = std::thread::Builder::new().name(std::format!("kernel-{worker}"));
                builder.spawn(move || shared.work(worker)).ok()
            });
            Self { threads: threads.collect(), shared, turn: Mutex::new(()) }
        }

        pub(super) fn count(&self) -> usize {
            self.threads.len() + 1
        }

        pub(super) fn run(&self, jobs: usize, job: Job) {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let shared = &*self.shared;
            // SAFETY: only the lifetime changes. No thread holds the job once `busy` is 0 again,
            // and this function does not return or unwind before that.
            let job: Job<'static> = unsafe { core::mem::transmute::<Job<'_>, Job<'static>>(job) };
            let task = Task { jobs, job };
            *shared.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
            shared.next.store(0, Ordering::Relaxed);
            shared.busy.store(self.threads.len(), Ordering::Relaxed);
            shared.round.fetch_add(1, Ordering::Release);
            self.threads.iter().map(JoinHandle::thread).for_each(Thread::unpark);
            shared.take_jobs(task, 0);
            // The threads have at most one job each left. If one of them was put aside by the
            // system, let it have this processor.
            let mut spins = 0;
            while shared.busy.load(Ordering::Acquire) > 0 {
                if spins < 2000 {
                    spins += 1;
                    std::hint::spin_loop();
                } else {
                    std::thread::yield_now();
                }
            }
            if shared.panicked.swap(false, Ordering::Relaxed) {
                panic!("a job of a layer panicked");
            }
        }
    }

    impl Drop for Crew {
        fn drop(&mut self) {
            self.shared.stop.store(true, Ordering::Release);
            for thread in self.threads.drain(..) {
                thread.thread().unpark();
                let _ = thread.join(); // it cannot have panicked: jobs' panics are caught
            }
        }
    }

    impl Shared {
        fn take_jobs(&self, task: Task, worker: usize) {
            let all = AssertUnwindSafe(|| {
                loop {
                    let index = self.next.fetch_add(1, Ordering::Relaxed);
                    if index >= task.jobs {
                        break;
                    }
                    (task.job)(index, worker);
                }
            });
            if catch_unwind(all).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
        }

        /// The life of a thread.
        fn work(&self, worker: usize) {
            let mut seen = 0;
            loop {
                let mut idle_since = None;
                while self.round.load(Ordering::Acquire) == seen {
                    if self.stop.load(Ordering::Acquire) {
                        return;
                    }
                    if idle_since.get_or_insert_with(Instant::now).elapsed() < AWAKE {
                        std::hint::spin_loop();
                    } else {
                        // An unpark since the last look makes this return at once.
                        std::thread::park();
                    }
                }
                seen += 1;
                let task = *self.task.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(task) = task {
                    self.take_jobs(task, worker);
                }
                self.busy.fetch_sub(1, Ordering::Release);
            }
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::vec::Vec;

    #[test]
    fn every_job_is_done_once_by_any_number_of_workers() {
        for count in [0, 1, 2, 3, 8] {
            let workers = Workers::new(count);
            assert_eq!(workers.count(), count.max(1));
            for jobs in [0, 1, 2, 7, 64] {
                let done: Vec<AtomicUsize> = (0..jobs).map(|_| AtomicUsize::new(0)).collect();
                workers.run(jobs, &|job, worker| {
                    assert!(worker < count.max(1));
                    done[job].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.iter().all(|times| times.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn they_wake_up_again_after_a_rest() {
        let workers = Workers::new(2);
        for _ in 0..3 {
            let sum = AtomicUsize::new(0);
            workers.run(10, &|job, _| {
                sum.fetch_add(job, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 45);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_workers_survive_it() {
        let workers = Workers::new(2);
        let job = std::panic::AssertUnwindSafe(|| workers.run(4, &|job, _| assert_ne!(job, 2)));
        assert!(std::panic::catch_unwind(job).is_err());
        workers.run(4, &|_, _| {});
    }
}
