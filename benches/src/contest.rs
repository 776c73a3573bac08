//! How peers are timed side by side. Not a test: nothing asserts on time.
//!
//! The peers take turns, many times over, so that whatever else the machine does disturbs all of
//! them alike; the minimum of each is reported, which is what the work itself takes.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// One contender.
pub struct Contender<'a> {
    /// Its name in the table.
    pub name: &'a str,
    /// The work, once.
    pub work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender whose result must not be optimised away.
    pub fn new<T>(name: &'a str, mut work: impl FnMut() -> T + 'a) -> Self {
        Self {
            name,
            work: Box::new(move || {
                black_box(work());
            }),
        }
    }
}

/// The least time of each contender for its work, in the order given. Each turn repeats the work
/// for about a millisecond; there are as many turns as fit `budget`.
pub fn least_times(contenders: &mut [Contender<'_>], budget: Duration) -> Vec<Duration> {
    const TURN: Duration = Duration::from_millis(1);
    let repeats: Vec<u32> = contenders
        .iter_mut()
        .map(|contender| {
            (contender.work)(); // caches and branch predictors warm
            let started = Instant::now();
            (contender.work)();
            let once = started.elapsed().max(Duration::from_nanos(1));
            (TURN.as_nanos() / once.as_nanos()).clamp(1, 1 << 20) as u32
        })
        .collect();
    let mut least = vec![Duration::MAX; contenders.len()];
    let started = Instant::now();
    while started.elapsed() < budget || least.contains(&Duration::MAX) {
        for ((contender, &repeats), least) in contenders.iter_mut().zip(&repeats).zip(&mut least) {
            let turn = Instant::now();
            for _ in 0..repeats {
                (contender.work)();
            }
            *least = (*least).min(turn.elapsed() / repeats);
        }
    }
    least
}
