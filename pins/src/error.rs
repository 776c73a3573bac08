//! What can be wrong with pins and buses.

/// Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There are none.
    #[error(
        "this machine has no pins: it is no Raspberry Pi, and there is no /dev/gpiochip0. Leave the pins out, or name the chip that has them (--gpio-chip /dev/gpiochipN)"
    )]
    NoPins,
    /// There are, but not for us.
    #[error(
        "no permission for the pins ({why}): add the user to the group gpio ('sudo usermod -aG gpio USER', then log in again)"
    )]
    Permission {
        /// What the system said.
        why: String,
    },
    /// A pin that cannot be had.
    #[error("pin {pin} of {chip}: {why}")]
    Pin {
        /// Its number, on a Raspberry Pi the BCM one.
        pin: u32,
        /// Where it is.
        chip: String,
        /// What is wrong.
        why: String,
    },
    /// The same pin for two things.
    #[error("pin {0} is to be used for two things")]
    Twice(u32),
    /// A bus that cannot be opened or written to.
    #[error("{bus}: {why}")]
    Bus {
        /// As it was named.
        bus: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// No more threads.
    #[error("cannot start the thread of the pins: {0}")]
    Thread(#[from] std::io::Error),
}
