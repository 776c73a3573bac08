//! `docs/event.schema.json`, which says how an event goes home: for tests that hold events against it.

use serde_json::Value;

/// The published schema of an event.
#[derive(Debug)]
pub struct EventSchema(jsonschema::Validator);

/// `docs/event.schema.json` is no JSON schema.
pub type SchemaError = Box<dyn std::error::Error + Send + Sync>;

impl EventSchema {
    /// Reads the schema.
    ///
    /// # Errors
    /// If it is none.
    pub fn read() -> Result<Self, SchemaError> {
        let schema = serde_json::from_str(include_str!("../../../docs/event.schema.json"))?;
        Ok(Self(jsonschema::validator_for(&schema)?))
    }

    /// What is wrong with an event, and where; nothing if it is as the schema has it.
    pub fn faults(&self, event: &Value) -> Vec<String> {
        self.0.iter_errors(event).map(|error| format!("{error} at {}", error.instance_path())).collect()
    }
}
