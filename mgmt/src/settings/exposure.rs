//! Which ports other hosts can reach, and whether they may (API §18.1).

use std::net::IpAddr;

use broker_proto::peering::PeerAddr;
use broker_proto::tls::{Admission, Tls};

use super::given::{Given, Origin, SettingError};
use super::options::{Fallback, find};
use super::{Program, Settings};
use crate::policy::Protection;

/// Whether ports without certificates may be reached from other hosts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Unauthenticated {
    /// They listen on loopback, and nowhere else.
    #[default]
    Refused,
    /// They listen where they are told to, as stock's do (`allow_unauthenticated`).
    Allowed,
}

impl Settings {
    /// Which ports ask everybody for a certificate.
    #[must_use]
    pub fn protection(&self) -> Protection {
        let admission = self.websocket_tls.as_ref().map(|port| &port.admission);
        Protection {
            broker: match self.tls {
                Tls::Certificates(_) => true,
                Tls::Off | Tls::Anonymous => false,
            },
            websocket: match admission {
                Some(Admission::Certified(_)) => true,
                // Anybody can have a certificate of a public CA.
                Some(Admission::CertifiedBySystem | Admission::Anyone) | None => false,
            },
        }
    }

    /// Has ports of these programs that ask nobody for a certificate listen on loopback only, unless
    /// the operator allows otherwise; returns what there is to say about it.
    ///
    /// # Errors
    /// If the operator set another address for such a port.
    pub fn confine(
        &mut self,
        given: &Given,
        programs: &[Program],
        unauthenticated: Unauthenticated,
    ) -> Result<Vec<String>, Vec<SettingError>> {
        let (mut remarks, mut errors) = (Vec::new(), Vec::new());
        for port in self.open_ports(programs) {
            let Port {
                option, addr, how, ..
            } = port;
            if is_loopback(&addr.host) {
                continue;
            }
            if unauthenticated == Unauthenticated::Allowed {
                remarks.push(format!(
                    "{option}: {addr} takes everybody from every host without a certificate \
                     (allow_unauthenticated)"
                ));
                continue;
            }
            let way = format!("give it certificates ({how}), or set allow_unauthenticated");
            match given.said(option) {
                Some(origin) => {
                    let problem = format!(
                        "{option}: other hosts reach {addr}, and nobody there is asked for a \
                         certificate; {way}"
                    );
                    errors.push(SettingError { origin, problem });
                }
                None => {
                    remarks.push(format!(
                        "{option}: on 127.0.0.1 instead of {}, as nobody is asked for a \
                         certificate; for other hosts, {way}",
                        addr.host
                    ));
                    "127.0.0.1".clone_into(&mut addr.host);
                }
            }
        }
        if errors.is_empty() {
            remarks.sort();
            return Ok(remarks);
        }
        Err(errors)
    }

    /// Those of these programs that ask nobody for a certificate.
    fn open_ports(&mut self, programs: &[Program]) -> Vec<Port<'_>> {
        let Protection { broker, websocket } = self.protection();
        let mut ports = Vec::new();
        if !websocket && let Some(addr) = &mut self.controller.listen_websocket {
            ports.push(Port {
                program: Program::Controller,
                option: "Management::Controller::listen_address_websocket",
                addr,
                how: "Management::Controller::tls_options_websocket with \
                      enable_peer_verification and ca_file",
            });
        }
        let how = "Broker::ssl_cafile, ssl_certificate, ssl_keyfile";
        if !broker {
            let controller = self.controller.listen.as_mut().map(|addr| {
                let option = "Management::Controller::listen_address";
                (Program::Controller, option, addr)
            });
            let agent = (
                Program::Agent,
                "Management::Agent::listen_address",
                &mut self.agent.listen,
            );
            let supervisor = (
                Program::Supervisor,
                "Broker::default_listen_address",
                &mut self.supervisor.address,
            );
            for (program, option, addr) in controller.into_iter().chain([agent, supervisor]) {
                ports.push(Port {
                    program,
                    option,
                    addr,
                    how,
                });
            }
        }
        ports.retain(|port| programs.contains(&port.program));
        ports
    }
}

struct Port<'a> {
    program: Program,
    option: &'static str,
    addr: &'a mut PeerAddr,
    /// The options that give it certificates.
    how: &'static str,
}

impl Given {
    /// Where an option was set, or the one that it is the same as unless it is set.
    fn said(&self, option: &str) -> Option<Origin> {
        match self.look_up(option).origin {
            Origin::Default => match find(option)?.fallback {
                Fallback::Same(other) => self.said(other),
                Fallback::Nothing
                | Fallback::Text(_)
                | Fallback::Flag(_)
                | Fallback::Seconds(_)
                | Fallback::Port(_)
                | Fallback::Hostname(_)
                | Fallback::Installation(_)
                | Fallback::Below(..)
                | Fallback::Rotation
                | Fallback::Controller
                | Fallback::Record
                | Fallback::Enum(_) => None,
            },
            origin @ (Origin::Environment(_) | Origin::Script { .. } | Origin::Argument) => {
                Some(origin)
            }
        }
    }
}

/// A name may be anywhere, but for the one that every host has.
fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>().map(|it| it.to_canonical());
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;

    const ALL: [Program; 3] = [Program::Controller, Program::Agent, Program::Supervisor];

    fn confined(
        arguments: &[&str],
        unauthenticated: Unauthenticated,
    ) -> Result<(Settings, Vec<String>), Vec<String>> {
        let mut given = Given::new(Sources::default());
        arguments
            .iter()
            .for_each(|argument| given.argument(argument));
        let mut settings = Settings::resolve(&given).unwrap();
        let remarks = settings.confine(&given, &ALL, unauthenticated);
        let texts = |errors: Vec<SettingError>| errors.iter().map(ToString::to_string).collect();
        remarks.map(|remarks| (settings, remarks)).map_err(texts)
    }

    fn hosts(settings: &Settings) -> [String; 4] {
        let controller = &settings.controller;
        [
            controller.listen.as_ref().unwrap(),
            controller.listen_websocket.as_ref().unwrap(),
            &settings.agent.listen,
            &settings.supervisor.address,
        ]
        .map(|addr| addr.host.clone())
    }

    #[test]
    fn a_port_that_is_off_needs_no_certificates() {
        let off = "Management::Controller::listen_port_websocket=0/unknown";
        let (settings, remarks) = confined(&[off], Unauthenticated::Refused).unwrap();
        assert_eq!(settings.controller.listen_websocket, None);
        let about_it = remarks.iter().filter(|it| it.contains("websocket"));
        assert_eq!(about_it.count(), 0, "{remarks:?}");
    }

    #[test]
    fn ports_without_certificates_are_on_loopback_unless_it_is_allowed() {
        let (settings, remarks) = confined(&[], Unauthenticated::Refused).unwrap();
        assert_eq!(hosts(&settings), ["127.0.0.1"; 4]);
        assert_eq!(remarks.len(), 3, "{remarks:?}");
        for remark in &remarks {
            assert!(remark.contains("allow_unauthenticated"), "{remark}");
            assert!(remark.contains("127.0.0.1 instead of 0.0.0.0"), "{remark}");
        }
        let (settings, remarks) = confined(&[], Unauthenticated::Allowed).unwrap();
        assert_eq!(
            hosts(&settings),
            ["0.0.0.0", "0.0.0.0", "0.0.0.0", "127.0.0.1"]
        );
        assert_eq!(remarks.len(), 3, "{remarks:?}");
    }

    #[test]
    fn an_address_that_the_operator_set_is_an_error_that_names_the_way_out() {
        for (argument, count) in [
            ("Management::default_address=0.0.0.0", 3),
            ("Management::Agent::listen_address=192.0.2.1", 1),
            ("Management::Controller::listen_address=sensor.example", 1),
            ("Management::Controller::listen_address_websocket=::", 1),
            ("Broker::default_listen_address=10.0.0.1", 1),
        ] {
            let errors = confined(&[argument], Unauthenticated::Refused).unwrap_err();
            assert_eq!(errors.len(), count, "{errors:?}");
            for error in errors {
                assert!(error.starts_with("argument: "), "{error}");
                assert!(error.contains("allow_unauthenticated"), "{error}");
            }
            assert!(confined(&[argument], Unauthenticated::Allowed).is_ok());
        }
    }

    #[test]
    fn loopback_addresses_are_left_as_they_are() {
        for host in ["127.0.0.2", "::1", "localhost", "::ffff:127.0.0.1"] {
            let argument = format!("Management::default_address={host}");
            let (settings, remarks) = confined(&[&argument], Unauthenticated::Refused).unwrap();
            assert_eq!(hosts(&settings)[..3], [host; 3]);
            assert_eq!(remarks, [""; 0]);
        }
    }

    #[test]
    fn certificates_protect_the_ports_they_are_for() {
        let broker = "Broker::ssl_cafile=/ca.pem";
        let (settings, _) = confined(&[broker], Unauthenticated::Refused).unwrap();
        assert_eq!(
            hosts(&settings),
            ["0.0.0.0", "127.0.0.1", "0.0.0.0", "127.0.0.1"]
        );
        let tls = |more: &str| {
            let option = "Management::Controller::tls_options_websocket";
            format!("{option}=[$cert_file=\"/c\", $key_file=\"/k\"{more}]")
        };
        // The clients see a certificate and show none.
        let (settings, _) = confined(&[&tls("")], Unauthenticated::Refused).unwrap();
        assert_eq!(hosts(&settings)[1], "127.0.0.1");
        // They show one of any CA that the system trusts.
        let by_system = tls(", $enable_peer_verification=T");
        let (settings, _) = confined(&[&by_system], Unauthenticated::Refused).unwrap();
        assert_eq!(hosts(&settings)[1], "127.0.0.1");
        let verifying = tls(", $ca_file=\"/ca\", $enable_peer_verification=T");
        let (settings, _) = confined(&[&verifying], Unauthenticated::Refused).unwrap();
        assert_eq!(hosts(&settings)[..3], ["127.0.0.1", "0.0.0.0", "127.0.0.1"]);
        // Cleartext switches certificates off.
        let off = [broker, "Broker::disable_ssl=T"];
        let (settings, _) = confined(&off, Unauthenticated::Refused).unwrap();
        assert_eq!(hosts(&settings)[0], "127.0.0.1");
    }
}
