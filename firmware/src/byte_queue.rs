//! Bytes on their way from an interrupt handler to the main loop, for serial ports that hold one byte
//! only. One side puts in, the other takes out; neither waits, and no interrupt is turned off.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// A ring of N bytes, of which N − 1 can wait.
#[derive(Debug)]
pub struct ByteQueue<const N: usize> {
    bytes: [AtomicU8; N],
    /// Where the next byte is put; only the putting side writes it.
    head: AtomicUsize,
    /// Where the next byte is taken; only the taking side writes it.
    tail: AtomicUsize,
    lost: AtomicBool,
}

impl<const N: usize> ByteQueue<N> {
    /// A queue without bytes.
    pub const fn new() -> Self {
        const { assert!(N > 1) }
        Self {
            bytes: [const { AtomicU8::new(0) }; N],
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
        }
    }

    /// Puts a byte in, or drops it when there is no room. For one caller, the interrupt handler.
    pub fn put(&self, byte: u8) {
        let head = self.head.load(Ordering::Relaxed);
        let next = if head + 1 >= N { 0 } else { head + 1 };
        match self.bytes.get(head) {
            Some(place) if next != self.tail.load(Ordering::Acquire) => {
                place.store(byte, Ordering::Relaxed);
                self.head.store(next, Ordering::Release);
            }
            _ => self.note_loss(),
        }
    }

    /// Takes the oldest byte out. For one caller, the main loop.
    pub fn take(&self) -> Option<u8> {
        let tail = self.tail.load(Ordering::Relaxed);
        if tail == self.head.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes.get(tail)?.load(Ordering::Relaxed);
        self.tail.store(if tail + 1 >= N { 0 } else { tail + 1 }, Ordering::Release);
        Some(byte)
    }

    /// Whether there is a byte.
    pub fn has_byte(&self) -> bool {
        self.tail.load(Ordering::Relaxed) != self.head.load(Ordering::Acquire)
    }

    /// Says that a byte was lost, here or in the hardware.
    pub fn note_loss(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether a byte was lost since this was last asked.
    pub fn take_loss(&self) -> bool {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost {
            self.lost.store(false, Ordering::Relaxed);
        }
        lost
    }
}

impl<const N: usize> Default for ByteQueue<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_what_comes_and_says_so() {
        let queue = ByteQueue::<4>::new();
        for round in 0..10 {
            assert_eq!((queue.take(), queue.has_byte()), (None, false));
            for byte in 0..5 {
                queue.put(round * 10 + byte);
            }
            assert!(queue.take_loss() && !queue.take_loss());
            let taken: std::vec::Vec<u8> = std::iter::from_fn(|| queue.take()).collect();
            assert_eq!(taken, [round * 10, round * 10 + 1, round * 10 + 2]);
        }
    }

    #[test]
    fn bytes_from_another_thread_come_in_order() {
        static QUEUE: ByteQueue<8> = ByteQueue::new();
        let putting = std::thread::spawn(|| {
            for number in 0..100_000u32 {
                while QUEUE.head.load(Ordering::Relaxed).wrapping_sub(QUEUE.tail.load(Ordering::Relaxed)) % 8
                    == 7
                {
                    std::thread::yield_now();
                }
                QUEUE.put(number as u8);
            }
        });
        for number in 0..100_000u32 {
            let byte = loop {
                match QUEUE.take() {
                    Some(byte) => break byte,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(byte, number as u8);
        }
        putting.join().unwrap();
        assert!(!QUEUE.take_loss());
    }
}
