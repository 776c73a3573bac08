//! The page of a run (`run --web ADDRESS`): what it shows is kept in the [`Board`], what is answered to
//! a browser is in `pages`. Connections, limits and who may ask are `anchorwatch_serve`'s affair.

mod board;
mod pages;

pub use board::Board;

use anchorwatch_serve::{Access, AccessError, Limits, ServeError, Server};
use std::net::SocketAddr;
use std::sync::Arc;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// Who may look is not settled.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The address cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Serves a board until the server is dropped. Anything but loopback needs a token.
///
/// # Errors
/// If a token is missing or too short, or the address is in use.
pub fn start(address: SocketAddr, token: Option<String>, board: Arc<Board>) -> Result<Server, PageError> {
    let access = Access::new(address, token)?;
    let pages = move |method: &_, path: &str, body: &[u8]| pages::answer(&board, method, path, body);
    Ok(Server::start(address, access, Limits::default(), pages)?)
}
