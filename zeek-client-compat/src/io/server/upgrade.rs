//! Which requests become a WebSocket, and how the others are answered (CLIENT §A1).

use std::fmt;

use axum::http::header::{
    ALLOW, CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};

use tungstenite::handshake::derive_accept_key;

use super::PATH;

/// Why a request for [`PATH`] is no upgrade. Clients print status and body to their users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    HttpVersion,
    Method,
    HeadTooLarge,
    NoUpgrade,
    NoConnection,
    WebSocketVersion,
    Key,
    Full,
    SourceFull,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Full | Self::SourceFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::HttpVersion
            | Self::NoUpgrade
            | Self::NoConnection
            | Self::WebSocketVersion
            | Self::Key => StatusCode::BAD_REQUEST,
        }
    }

    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Method => Some((ALLOW, HeaderValue::from_static("GET"))),
            Self::WebSocketVersion => Some((SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))),
            Self::HttpVersion
            | Self::HeadTooLarge
            | Self::NoUpgrade
            | Self::NoConnection
            | Self::Key
            | Self::Full
            | Self::SourceFull => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HttpVersion => "WebSocket needs HTTP/1.1",
            Self::Method => "WebSocket needs GET",
            Self::HeadTooLarge => "request head is longer than 16 KiB",
            Self::NoUpgrade => "expected a WebSocket handshake: no 'Upgrade: websocket'",
            Self::NoConnection => "expected a WebSocket handshake: no 'Connection: Upgrade'",
            Self::WebSocketVersion => "expected Sec-WebSocket-Version 13",
            Self::Key => "missing or malformed Sec-WebSocket-Key",
            Self::Full => "too many clients",
            Self::SourceFull => "too many clients from this address",
        })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer(self.status(), &self.to_string());
        response.headers_mut().extend(self.header());
        response
    }
}

/// Checks a request and words the refusals. A missing `Connection` header is forgiven, as by stock.
pub(super) fn check(parts: &Parts) -> Result<(), Refusal> {
    let headers = &parts.headers;
    let size = headers.iter().map(|(k, v)| k.as_str().len() + v.len());
    if size.sum::<usize>() > MAX_HEAD {
        return Err(Refusal::HeadTooLarge);
    }
    if parts.version != Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    if parts.method != Method::GET {
        return Err(Refusal::Method);
    }
    if !has_token(headers, UPGRADE, "websocket") {
        return Err(Refusal::NoUpgrade);
    }
    if headers.contains_key(CONNECTION) && !has_token(headers, CONNECTION, "upgrade") {
        return Err(Refusal::NoConnection);
    }
    if !has_token(headers, SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refusal::WebSocketVersion);
    }
    if !headers.get(SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(Refusal::Key);
    }
    Ok(())
}

/// The answer to a request that is one.
pub(super) fn accept(parts: &Parts) -> Response {
    let key = parts.headers.get(SEC_WEBSOCKET_KEY);
    let key = derive_accept_key(key.map(HeaderValue::as_bytes).unwrap_or_default());
    let key = HeaderValue::try_from(key).unwrap_or(HeaderValue::from_static(""));
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (SEC_WEBSOCKET_ACCEPT, key),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// What a client calls itself; only for the log.
pub(super) fn application(parts: &Parts) -> Option<String> {
    let name = parts.headers.get("x-application-name")?.to_str().ok()?;
    Some(crate::json::excerpt(name))
}

/// Answers every path but [`PATH`]. Stock answers 400 or closes with 1008; all end zeek-client alike.
pub(super) async fn wrong_path() -> Response {
    answer(StatusCode::NOT_FOUND, &format!("no such path; use {PATH}"))
}

fn answer(status: StatusCode, text: &str) -> Response {
    let close = [(CONNECTION, HeaderValue::from_static("close"))];
    (status, close, format!("{text}\n")).into_response()
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut tokens = values
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    tokens.any(|t| t.trim().eq_ignore_ascii_case(token))
}

/// 16 bytes in base64.
fn is_key(value: &HeaderValue) -> bool {
    let Some((digits, b"==")) = value.as_bytes().split_at_checked(22) else {
        return false;
    };
    let digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    digits.iter().all(digit)
}

const MAX_HEAD: usize = 16 * 1024;
