//! How the program ends: error messages and exit codes.

use crate::network::ModelError;
use crate::pipeline::RunError;
#[cfg(feature = "mqtt")]
use anchorwatch_mqtt::MqttError;
use anchorwatch_store::StoreError;
use std::process::ExitCode;

/// Something that starting again will not change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// It failed.
const FAILURE: u8 = 1;
/// Wrong usage, configuration or model file; what clap uses too.
const USAGE: u8 = 2;
/// `inspect --verify`: this device computes something else. `link version`: other firmware.
pub const DIFFERENT: u8 = 3;

/// Prints an error, if there is one; the exit code.
pub fn code(result: anyhow::Result<ExitCode>) -> ExitCode {
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    if is_broken_pipe(&error) {
        // Whoever read the output (`| head`) has seen enough.
        return ExitCode::SUCCESS;
    }
    log::error!("{}", chain(&error));
    #[cfg(feature = "mqtt")]
    let is_setting = error.downcast_ref::<MqttError>().is_some_and(MqttError::needs_a_change);
    #[cfg(not(feature = "mqtt"))]
    let is_setting = false;
    let usage = error.is::<UsageError>()
        || is_setting
        || error.downcast_ref::<ModelError>().is_some_and(|error| !matches!(error, ModelError::Write { .. }));
    ExitCode::from(if usage { USAGE } else { FAILURE })
}

/// What went wrong, and why. A reason that its error has said already is not said twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let output = match error.downcast_ref::<RunError>() {
        Some(RunError::Show(output)) => Some(output),
        Some(_) => None,
        None => match error.downcast_ref::<StoreError>() {
            Some(StoreError::Export(output)) => Some(output),
            _ => error.downcast_ref::<std::io::Error>(),
        },
    };
    output.is_some_and(|output| output.kind() == std::io::ErrorKind::BrokenPipe)
}
