//! A session: a store, read once, and the page over it.

use crate::desk::Desk;
use crate::pages;
use anchorwatch_serve::{Access, AccessError, Limits, ServeError, Server};
use anchorwatch_store::{Filter, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Bytes of a request: the numbers of as many things as are read.
const BODY: usize = 512 * 1024;

/// What is looked through, and where.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReviewOptions {
    /// The folder that 'run --events' was given.
    pub store: PathBuf,
    /// Where the page is; port 0 is a free one.
    pub address: SocketAddr,
    /// What a browser must show; needed for anything but loopback.
    pub token: Option<String>,
    /// The model's classes, in its order: the keys 1 to 9.
    pub classes: Vec<String>,
    /// The training folder that the page may export to; it is made if it is not there.
    pub export: Option<PathBuf>,
    /// As many of the newest things are read.
    pub most: usize,
    /// Samples of what was judged known are looked through, instead of what was unknown.
    pub known: bool,
}

impl Default for ReviewOptions {
    fn default() -> Self {
        Self {
            store: PathBuf::new(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            classes: Vec::new(),
            export: None,
            most: 20_000,
            known: false,
        }
    }
}

/// Why there is nothing to look through.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Who may look is not settled.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The address cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves the page until it is dropped.
pub struct Session {
    server: Server,
    things: usize,
}

impl Session {
    /// Reads the store, compares what is in it, and serves the page. With 20 000 things that takes seconds.
    ///
    /// # Errors
    /// If there is no store, a token is missing, or the address is in use.
    pub fn start(options: ReviewOptions) -> Result<Self, ReviewError> {
        let access = Access::new(options.address, options.token)?;
        let store = Store::attach(&options.store)?;
        let what = Filter { sample: Some(options.known), ..Filter::default() };
        let desk = Desk::open(store, what, options.classes, options.export, options.most)?;
        let things = desk.things();
        let desk = Mutex::new(desk);
        let limits = Limits { body: BODY, ..Limits::default() };
        let server = Server::start(options.address, access, limits, move |method, path, body| {
            // Nothing is left half changed: the store is written first, and at once.
            let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
            pages::answer(&mut desk, method, path, body)
        })?;
        Ok(Self { server, things })
    }

    /// Where the page is.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// How many things there are to look through.
    pub fn things(&self) -> usize {
        self.things
    }
}
