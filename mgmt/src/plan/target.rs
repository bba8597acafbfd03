//! Where the controller is: as zeek-client finds it (CLIENT §C1).

use broker_proto::peering::PeerAddr;

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
    pub fn resolve(self, listen: Option<&PeerAddr>) -> Result<PeerAddr, TargetError> {
        let mut target = PeerAddr {
            host: "127.0.0.1".to_owned(),
            port: listen.map_or(2149, |addr| addr.port),
        };
        let unspecified = ["", "0.0.0.0", "::"];
        if let Some(addr) = listen.filter(|addr| !unspecified.contains(&&*addr.host)) {
            target.host = addr.host.clone();
        }
        if let Some(text) = self.file {
            let ini = Ini::parse(text).map_err(|error| error_of(FILE, error.to_string()))?;
            for key in ["host", "port"] {
                let value = ini.get("controller", key);
                let value = value.map_err(|error| error_of(FILE, error.to_string()))?;
                if let Some(value) = value {
                    set(&mut target, key, &value, FILE)?;
                }
            }
        }
        if let Some(text) = self.settings {
            let items = split(text).ok_or_else(|| error_of(SETTINGS, "unbalanced quotes"))?;
            for item in items {
                if let Some((name, value)) = item.split_once('=')
                    && let Some(key) = name.strip_prefix("controller.")
                {
                    set(&mut target, key, value, SETTINGS)?;
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
                set(&mut target, "host", host, ARGUMENT)?;
            }
            if let Some(port) = port.filter(|port| !port.is_empty()) {
                set(&mut target, "port", port, ARGUMENT)?;
            }
        }
        Ok(target)
    }
}

fn set(
    target: &mut PeerAddr,
    key: &str,
    value: &str,
    origin: &'static str,
) -> Result<(), TargetError> {
    match key {
        "host" => target.host = value.trim_matches(['[', ']']).to_owned(),
        "port" => {
            let port = value.trim().parse().ok().filter(|port| *port > 0);
            let problem = || error_of(origin, format!("'{value}' is not a port"));
            target.port = port.ok_or_else(problem)?;
        }
        _ => {}
    }
    Ok(())
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
        let resolve = |listen: Option<&PeerAddr>| Hints::default().resolve(listen).unwrap();
        assert_eq!(resolve(None), addr("127.0.0.1", 2149));
        assert_eq!(resolve(Some(&addr("0.0.0.0", 7))), addr("127.0.0.1", 7));
        assert_eq!(resolve(Some(&addr("10.0.0.1", 7))), addr("10.0.0.1", 7));
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_the_file() {
        let mut hints = Hints {
            file: Some("[controller]\nhost = file\nport = 1\n[ssl]\nenable = false\n"),
            settings: Some("client.verbosity=2 controller.host=env"),
            argument: None,
        };
        assert_eq!(hints.resolve(None), Ok(addr("env", 1)));
        hints.argument = Some(":9");
        assert_eq!(hints.resolve(None), Ok(addr("env", 9)));
        hints.argument = Some("arg");
        assert_eq!(hints.resolve(None), Ok(addr("arg", 1)));
        hints.argument = Some("[::1]:5");
        assert_eq!(hints.resolve(None), Ok(addr("::1", 5)));
        hints.argument = Some("[::1]");
        assert_eq!(hints.resolve(None), Ok(addr("::1", 1)));
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
}
