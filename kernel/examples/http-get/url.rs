//! Where a page is (RFC 3986, as far as `http` needs it).

use core::fmt;

/// Where a page is.
#[derive(Debug, PartialEq, Eq)]
pub struct Url<'a> {
    /// The name or address of the host, without brackets.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// Host and port as they were written: what the server is told.
    pub authority: &'a str,
    /// The path with the query; `/` if there was none.
    pub path: &'a str,
}

/// What is wrong with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// It is encrypted.
    Encrypted,
    /// It does not begin with `http://`.
    Scheme,
    /// There is no host, or one that is none.
    Host,
    /// The port is no number from 1 to 65535.
    Port,
    /// It has characters that cannot be there.
    Characters,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypted => "https is encrypted, and there is no encryption here; use http",
            Self::Scheme => "expected http://HOST/PATH",
            Self::Host => "expected the name or the address of a host behind http://",
            Self::Port => "the port must be a number from 1 to 65535",
            Self::Characters => "blanks and control characters must be written as %20 and so on",
        })
    }
}

impl<'a> Url<'a> {
    /// Understands one.
    pub fn parse(text: &'a str) -> Result<Self, UrlError> {
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(UrlError::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(UrlError::Encrypted);
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError::Scheme);
        }
        // What is behind `#` is for whoever shows the page.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // A query without a path would need one put in front of it.
        if path.starts_with('?') || authority.contains('@') {
            return Err(UrlError::Host);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(UrlError::Host)?;
                match port.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if port.is_empty() => (host, None),
                    None => return Err(UrlError::Host),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(UrlError::Host);
        }
        let port = port.map_or(Ok(80), |port| port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port))?;
        Ok(Self { host, port, authority, path: if path.is_empty() { "/" } else { path } })
    }
}
