//! Where the controller is and how to talk to it: as zeek-client finds it (CLIENT §C1).

use std::path::PathBuf;

use broker_proto::peering::PeerAddr;
use zeek_client_compat::protection::Protection;

use super::cluster::split;
use super::ini::Ini;

/// What a user may say about it; later ones win.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Hints<'a> {
    /// The content of the file that `ZEEK_CLIENT_CONFIG_FILE` names.
    pub file: Option<&'a str>,
    /// `ZEEK_CLIENT_CONFIG_SETTINGS`.
    pub settings: Option<&'a str>,
    /// `--controller`: `host`, `host:port` or `:port`.
    pub argument: Option<&'a str>,
}

/// A controller for clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Its WebSocket port.
    pub addr: PeerAddr,
    /// TLS; `None` for cleartext.
    pub protection: Option<Protection>,
}

/// Why there is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct TargetError {
    /// Who said it.
    pub origin: &'static str,
    /// What is wrong.
    pub problem: String,
}

const FILE: &str = "ZEEK_CLIENT_CONFIG_FILE";
const SETTINGS: &str = "ZEEK_CLIENT_CONFIG_SETTINGS";
const ARGUMENT: &str = "--controller";

impl Hints<'_> {
    /// The address of the controller, which listens at `listen` if it is on this host.
    ///
    /// # Errors
    /// If a hint does not read.
    pub fn resolve(self, listen: Option<&PeerAddr>) -> Result<Target, TargetError> {
        let mut target = PeerAddr {
            host: "127.0.0.1".to_owned(),
            port: listen.map_or(2149, |addr| addr.port),
        };
        let unspecified = ["", "0.0.0.0", "::"];
        if let Some(addr) = listen.filter(|addr| !unspecified.contains(&&*addr.host)) {
            target.host = addr.host.clone();
        }
        let mut found = Found {
            addr: target,
            is_enabled: false,
            protection: Protection::default(),
        };
        if let Some(text) = self.file {
            let ini = Ini::parse(text).map_err(|error| error_of(FILE, error.to_string()))?;
            for section in ["controller", "ssl"] {
                for key in ini.keys(section) {
                    let value = ini.get(section, key);
                    let value = value.map_err(|error| error_of(FILE, error.to_string()))?;
                    found.set(section, key, &value.unwrap_or_default(), FILE)?;
                }
            }
        }
        if let Some(text) = self.settings {
            let items = split(text).ok_or_else(|| error_of(SETTINGS, "unbalanced quotes"))?;
            for item in items {
                if let Some((name, value)) = item.split_once('=')
                    && let Some((section, key)) = name.split_once('.')
                {
                    found.set(section, key, value, SETTINGS)?;
                }
            }
        }
        if let Some(text) = self.argument {
            // The last colon separates, unless it belongs to an address.
            let (host, port) = match text.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
                Some(_) | None => (text, None),
            };
            if host.contains(':') && !host.starts_with('[') {
                let problem = "IPv6 addresses must be surrounded by brackets: [<ipv6>]:<port>";
                return Err(error_of(ARGUMENT, problem));
            }
            if !host.is_empty() {
                found.set("controller", "host", host, ARGUMENT)?;
            }
            if let Some(port) = port.filter(|port| !port.is_empty()) {
                found.set("controller", "port", port, ARGUMENT)?;
            }
        }
        Ok(Target {
            addr: found.addr,
            protection: Some(found.protection).filter(|_| found.is_enabled),
        })
    }
}

/// What was said so far.
struct Found {
    addr: PeerAddr,
    is_enabled: bool,
    protection: Protection,
}

impl Found {
    /// Takes in a setting of zeek-client; those that are about something else have no effect.
    fn set(
        &mut self,
        section: &str,
        key: &str,
        value: &str,
        origin: &'static str,
    ) -> Result<(), TargetError> {
        let path = || Some(PathBuf::from(value)).filter(|_| !value.is_empty());
        match (section, key) {
            ("controller", "host") => {
                self.addr.host = value.trim_matches(['[', ']']).to_owned();
            }
            ("controller", "port") => {
                let port = value.trim().parse().ok().filter(|port| *port > 0);
                let problem = || error_of(origin, format!("'{value}' is not a port"));
                self.addr.port = port.ok_or_else(problem)?;
            }
            ("ssl", "enable") => {
                let flag = flag(value);
                let problem = || error_of(origin, format!("'{value}' is not true or false"));
                self.is_enabled = flag.ok_or_else(problem)?;
            }
            ("ssl", "certificate") => self.protection.certificate = path(),
            ("ssl", "keyfile") => self.protection.keyfile = path(),
            ("ssl", "cafile") => self.protection.cafile = path(),
            ("ssl", "capath") => self.protection.capath = path(),
            ("ssl", "passphrase") => {
                let text = Some(value.to_owned());
                self.protection.passphrase = text.filter(|text| !text.is_empty());
            }
            _ => {}
        }
        Ok(())
    }
}

/// As Python's ConfigParser reads it.
fn flag(value: &str) -> Option<bool> {
    match value.trim().to_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

fn error_of(origin: &'static str, problem: impl Into<String>) -> TargetError {
    let problem = problem.into();
    TargetError { origin, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(host: &str, port: u16) -> PeerAddr {
        PeerAddr {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn without_a_hint_it_is_the_controller_of_this_host() {
        let resolve = |listen: Option<&PeerAddr>| Hints::default().resolve(listen).unwrap().addr;
        assert_eq!(resolve(None), addr("127.0.0.1", 2149));
        assert_eq!(resolve(Some(&addr("0.0.0.0", 7))), addr("127.0.0.1", 7));
        assert_eq!(resolve(Some(&addr("10.0.0.1", 7))), addr("10.0.0.1", 7));
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_the_file() {
        let mut hints = Hints {
            file: Some("[controller]\nhost = file\nport = 1\n[ssl]\nenable = false\n"),
            settings: Some("client.verbosity=2 verbose=1 quiet controller.host=env"),
            argument: None,
        };
        let at = |hints: Hints<'_>| hints.resolve(None).unwrap().addr;
        assert_eq!(at(hints), addr("env", 1));
        hints.argument = Some(":9");
        assert_eq!(at(hints), addr("env", 9));
        hints.argument = Some("arg");
        assert_eq!(at(hints), addr("arg", 1));
        hints.argument = Some("[::1]:5");
        assert_eq!(at(hints), addr("::1", 5));
        hints.argument = Some("[::1]");
        assert_eq!(at(hints), addr("::1", 1));
    }

    #[test]
    fn a_hint_that_does_not_read_is_named() {
        let error = |argument| {
            let argument = Some(argument);
            let hints = Hints {
                argument,
                ..Hints::default()
            };
            hints.resolve(None).unwrap_err().to_string()
        };
        assert_eq!(error("a:0"), "--controller: '0' is not a port");
        assert!(error("::1:5").contains("brackets"));
    }

    #[test]
    fn tls_is_on_if_it_is_enabled() {
        let mut hints = Hints {
            file: Some("[ssl]\nenable = Yes\ncertificate = /c.pem\ncafile =\n"),
            ..Hints::default()
        };
        let expected = Protection {
            certificate: Some("/c.pem".into()),
            ..Protection::default()
        };
        assert_eq!(hints.resolve(None).unwrap().protection, Some(expected));
        hints.settings = Some("ssl.enable=false");
        assert_eq!(hints.resolve(None).unwrap().protection, None);
        hints.settings = Some("ssl.enable=perhaps");
        let error = hints.resolve(None).unwrap_err().to_string();
        assert!(error.ends_with("'perhaps' is not true or false"), "{error}");
    }
}
