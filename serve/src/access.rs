//! Who may ask: the token, the name that the server is called by, and the page that a change comes from.

use hyper::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use std::net::SocketAddr;
use subtle::ConstantTimeEq;

/// A token has at least so many characters.
const LEAST_TOKEN: usize = 16;
/// The cookie that keeps the token.
const COOKIE_NAME: &str = "anchorwatch";

/// The rules for an address.
#[derive(Clone)]
pub struct Access {
    loopback: bool,
    token: Option<String>,
}

/// Why the server must not start.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Everybody in the network could look.
    #[error("{0} can be reached from the network: give a token, or bind to 127.0.0.1")]
    NoToken(SocketAddr),
    /// Too short, or characters that do not fit a cookie and an address.
    #[error("a token has at least {LEAST_TOKEN} characters, of A-Z, a-z, 0-9, '-' and '_'")]
    BadToken,
}

/// What is done with a request.
pub(crate) enum Entry {
    Allowed,
    /// The token was in the address: it goes to a cookie, and out of the address.
    SetCookie(String),
    Refused(StatusCode),
}

impl Access {
    /// Anything but loopback needs a token.
    pub fn new(address: SocketAddr, token: Option<String>) -> Result<Access, AccessError> {
        let loopback = address.ip().is_loopback();
        match &token {
            None if !loopback => return Err(AccessError::NoToken(address)),
            Some(token) if !is_token(token) => return Err(AccessError::BadToken),
            _ => {}
        }
        Ok(Access { loopback, token })
    }

    pub(crate) fn check(&self, request: &Parts) -> Entry {
        let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(host) = header(HOST) else { return Entry::Refused(StatusCode::BAD_REQUEST) };
        // A foreign name that leads to loopback is DNS rebinding.
        if self.loopback && !is_loopback_name(host) {
            return Entry::Refused(StatusCode::MISDIRECTED_REQUEST);
        }
        let reads = request.method == Method::GET || request.method == Method::HEAD;
        if !reads && header(ORIGIN).and_then(|origin| origin.strip_prefix("http://")) != Some(host) {
            return Entry::Refused(StatusCode::FORBIDDEN);
        }
        let Some(token) = &self.token else { return Entry::Allowed };
        let is_right = |given: &str| bool::from(given.as_bytes().ct_eq(token.as_bytes()));
        if header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).is_some_and(is_right) {
            return Entry::Allowed;
        }
        let mut cookies =
            header(COOKIE).unwrap_or_default().split(';').filter_map(|pair| pair.trim().split_once('='));
        if cookies.any(|(name, value)| name == COOKIE_NAME && is_right(value)) {
            return Entry::Allowed;
        }
        let mut query =
            request.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        if reads && query.any(|(name, value)| name == "token" && is_right(value)) {
            return Entry::SetCookie(format!("{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/"));
        }
        Entry::Refused(StatusCode::UNAUTHORIZED)
    }
}

fn is_token(token: &str) -> bool {
    token.len() >= LEAST_TOKEN
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}
