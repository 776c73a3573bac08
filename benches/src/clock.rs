//! The processor's clock, measured: without it, no figure can be set against a peak.

use std::time::Instant;

/// Cycles in a nanosecond just now: of a loop that takes one cycle a turn on every processor since
/// 2010. `None` on processors that the loop is not written for.
pub fn cycles_per_nanosecond() -> Option<f64> {
    const TURNS: u64 = 2_000_000;
    let once = || {
        let begin = Instant::now();
        turn(TURNS)?;
        Some(TURNS as f64 / begin.elapsed().as_nanos() as f64)
    };
    // The fastest of several: whatever else runs only makes it slower.
    (0..20).map(|_| once()).try_fold(0.0f64, |best, rate| rate.map(|rate| best.max(rate)))
}

#[cfg(target_arch = "x86_64")]
fn turn(turns: u64) -> Option<()> {
    // SAFETY: it counts a register down.
    unsafe {
        std::arch::asm!("2:", "dec {0}", "jnz 2b", inout(reg) turns => _, options(nomem, nostack));
    }
    Some(())
}

#[cfg(target_arch = "aarch64")]
fn turn(turns: u64) -> Option<()> {
    // SAFETY: it counts a register down.
    unsafe {
        std::arch::asm!("2:", "subs {0}, {0}, #1", "b.ne 2b", inout(reg) turns => _, options(nomem, nostack));
    }
    Some(())
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn turn(_: u64) -> Option<()> {
    None
}
