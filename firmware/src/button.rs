//! The acknowledge button: contacts bounce, so a change counts when it has lasted.

/// A debounced button.
#[derive(Clone, Copy, Debug, Default)]
pub struct Button {
    held: bool,
    /// Since when the contact has been otherwise.
    changed_ms: Option<u64>,
}

impl Button {
    /// A button that is not held.
    pub const fn new() -> Self {
        Self { held: false, changed_ms: None }
    }

    /// Takes in what the contact says now; true when the button has just been pressed.
    pub fn update(&mut self, contact: bool, debounce_ms: u32, now_ms: u64) -> bool {
        if contact == self.held {
            self.changed_ms = None;
            return false;
        }
        let since = *self.changed_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) < u64::from(debounce_ms) {
            return false;
        }
        self.held = contact;
        self.changed_ms = None;
        contact
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the button was pressed, given the contact every 10 ms.
    fn presses(contacts: &str) -> std::vec::Vec<u64> {
        let mut button = Button::new();
        let times = (0..).step_by(10).zip(contacts.chars());
        times.filter(|&(now, contact)| button.update(contact == '#', 30, now)).map(|(now, _)| now).collect()
    }

    #[test]
    fn one_press_counts_once_however_it_bounces() {
        assert_eq!(presses("..#.##.#########.#.##......"), [100]);
    }

    #[test]
    fn glitches_do_not_count() {
        assert!(presses("..#....##...###...#.#.#.#..").is_empty());
    }

    #[test]
    fn it_must_be_let_go_before_it_counts_again() {
        assert_eq!(presses("####.######..####....####"), [30, 240]);
    }
}
