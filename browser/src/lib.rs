//! A headless Chromium for the tests of the pages, driven through chromedriver: a window of a given size
//! with a profile of its own. It ends when it is dropped, and when the test panics. What is clicked and
//! looked at is the test's affair, with [`fantoccini`]'s client.

mod driver;

pub use driver::BrowserError;
pub use fantoccini;

use driver::Driver;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::ops::Deref;
use tempfile::TempDir;

/// A browser with one empty window. It is used as a [`Client`].
pub struct Browser {
    client: Client,
    /// Dropped before the profile, which the browser writes to.
    _driver: Driver,
    _profile: TempDir,
}

impl Browser {
    /// Starts the driver and, through it, the browser. The page's area has this width and height in
    /// CSS pixels, which are those of screenshots too.
    ///
    /// # Errors
    /// If there is no chromedriver or no Chromium, or they do not start.
    pub async fn open(width: u32, height: u32) -> Result<Self, BrowserError> {
        let profile = tempfile::Builder::new().prefix("anchorwatch-browser-").tempdir();
        let profile = profile.map_err(BrowserError::Start)?;
        let driver = Driver::start()?;
        let arguments = [
            "--headless=new".to_string(),
            // Tests run as root in containers, where Chromium's sandbox does not; the pages are our own.
            "--no-sandbox".to_string(),
            // Containers have little shared memory.
            "--disable-dev-shm-usage".to_string(),
            "--disable-gpu".to_string(),
            "--disable-breakpad".to_string(),
            "--no-first-run".to_string(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let metrics =
            json!({ "width": width, "height": height, "pixelRatio": 1.0, "mobile": false, "touch": false });
        let options = json!({ "args": arguments, "mobileEmulation": { "deviceMetrics": metrics } });
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("browserName".to_string(), Value::from("chrome"));
        capabilities.insert("goog:chromeOptions".to_string(), options);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(driver.address()).await;
        Ok(Self { client: client.map_err(BrowserError::session)?, _driver: driver, _profile: profile })
    }
}

impl Deref for Browser {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
