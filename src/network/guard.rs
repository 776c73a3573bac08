//! tract panics on some malformed networks where it should give an error. Here a panic becomes
//! one, and prints nothing.

use super::ModelError;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use tract_onnx::prelude::TractResult;

thread_local! {
    /// Whether a panic of this thread is caught below.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Does something with tract.
pub(super) fn catch<T>(doing: &str, action: impl FnOnce() -> TractResult<T>) -> Result<T, ModelError> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                usual(panic);
            }
        }));
    });
    let before = CAUGHT.replace(true);
    // What the action leaves half done is dropped with the model or session that it belongs to.
    let result = catch_unwind(AssertUnwindSafe(action));
    CAUGHT.set(before);
    match result {
        Ok(result) => result.map_err(|error| failed(doing, error)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(ModelError::Network(format!("{doing}: {said}")))
        }
    }
}

/// tract's own error, in one line.
pub(super) fn failed(doing: &str, error: impl std::fmt::Display + std::fmt::Debug) -> ModelError {
    let text = format!("{error:#}").replace('\n', " ");
    ModelError::Network(format!("{doing}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        let error = catch::<()>("testing", || panic!("index {} out of bounds", 7)).unwrap_err();
        assert_eq!(error.to_string(), "its network cannot be run: testing: index 7 out of bounds");
        assert_eq!(catch("testing", || Ok(3)).unwrap(), 3);
    }
}
