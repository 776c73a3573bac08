//! The locator with a real gpsd, and with what pretends to be one.

mod gpsd;
mod real;
mod strangers;
mod track;
