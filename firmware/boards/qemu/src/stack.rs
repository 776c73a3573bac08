//! How deep the stack has been: start-up has painted it.

use core::ptr::addr_of;

/// What start-up paints with.
const PAINT: u32 = 0xCCCC_CCCC;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// The most bytes of stack that were ever in use.
pub fn deepest() -> usize {
    let (top, end) = (addr_of!(_stack_start), addr_of!(_stack_end));
    let mut at = end;
    // SAFETY: the linker's symbols are the ends of the stack, which is RAM; only painted words, below
    // everything in use, are gone over.
    while at < top && unsafe { at.read_volatile() } == PAINT {
        // SAFETY: as above.
        at = unsafe { at.add(1) };
    }
    (top as usize).saturating_sub(at as usize)
}
