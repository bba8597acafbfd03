use super::super::{Algorithm, Usage};
use super::*;

const NOW: i64 = 1_800_000_000;

#[test]
fn a_certificate_in_order_gives_nothing_to_say() {
    assert_eq!(host().findings(NOW), []);
    assert_eq!(authority_entry().findings(NOW), []);
}

#[test]
fn the_end_is_told_thirty_days_before_and_counts_whole_days() {
    let at = |left: i64| {
        let mut entry = host();
        entry.certificate.not_after = NOW + left;
        entry.findings(NOW)
    };
    assert_eq!(at(30 * DAY), []);
    assert_eq!(at(30 * DAY - 1), [Finding::EndsSoon { days: 29 }]);
    assert_eq!(at(0), [Finding::EndsSoon { days: 0 }]);
    assert_eq!(at(-1), [Finding::Expired { days: 0 }]);
    assert_eq!(at(-3 * DAY), [Finding::Expired { days: 3 }]);
    assert_eq!(Finding::EndsSoon { days: 1 }.weight(), Weight::Remark);
    assert_eq!(Finding::Expired { days: 1 }.weight(), Weight::Wrong);
}

#[test]
fn times_at_the_edge_of_the_clock_do_no_harm() {
    let mut entry = host();
    entry.certificate.not_after = i64::MIN;
    assert!(matches!(
        entry.findings(i64::MAX)[..],
        [Finding::Expired { .. }]
    ));
    entry.certificate.not_after = i64::MAX;
    entry.certificate.not_before = i64::MAX;
    assert!(matches!(
        entry.findings(i64::MIN)[..],
        [Finding::NotYetValid { .. }]
    ));
}

#[test]
fn a_clock_that_is_behind_is_told() {
    let mut entry = host();
    entry.certificate.not_before = NOW + 1;
    assert_eq!(entry.findings(NOW), [Finding::NotYetValid { days: 1 }]);
}

// WIRE §7.2, §7.3.
#[test]
fn what_peers_refuse_is_wrong() {
    let wrong = |change: &dyn Fn(&mut Entry)| {
        let mut entry = host();
        change(&mut entry);
        let found = entry.findings(NOW);
        assert!(found.iter().all(|it| it.weight() == Weight::Wrong));
        found
    };
    let version = wrong(&|entry| entry.certificate.version = 1);
    assert_eq!(version, [Finding::Version1]);
    let usage = wrong(&|entry| entry.certificate.usage.serve = false);
    assert_eq!(usage, [Finding::NotForListening]);
    let usage = wrong(&|entry| entry.certificate.usage.dial = false);
    assert_eq!(usage, [Finding::NotForDialing]);
    let issuer = wrong(&|entry| entry.issuer = Issuer::Unknown);
    let text = issuer[0].to_string();
    assert!(text.contains("it says: CA"), "{text}");
    let own = wrong(&|entry| entry.issuer = Issuer::Itself);
    assert_eq!(own, issuer, "no peer vouches for itself");
    let key = wrong(&|entry| entry.key = Key::Foreign("a.key".into(), Readers::All));
    let file = PathBuf::from("a.key");
    let both = [Finding::ForeignKey(file.clone()), Finding::KeyForAll(file)];
    assert_eq!(key, both);
}

#[test]
fn a_ca_that_may_not_sign_is_wrong_and_its_version_does_not_matter() {
    let mut entry = authority_entry();
    entry.certificate.version = 1;
    assert_eq!(entry.findings(NOW), []);
    entry.certificate.usage.sign = false;
    assert_eq!(entry.findings(NOW), [Finding::MayNotSign]);
}

#[test]
fn what_rustls_lacks_is_named() {
    let lacks = |signature: &str, key: &str, bits| {
        let (signature, key) = (signature.to_owned(), key.to_owned());
        let algorithm = Algorithm {
            signature,
            key,
            bits,
        };
        algorithm.unknown_to_rustls()
    };
    let (sha256_rsa, sha1_rsa) = ("1.2.840.113549.1.1.11", "1.2.840.113549.1.1.5");
    assert_eq!(lacks(sha256_rsa, RSA, 2048), None);
    let short = lacks(sha256_rsa, RSA, 1024).unwrap();
    assert_eq!(short, "RSA keys of 1024 bits");
    let old = lacks(sha1_rsa, RSA, 2048).unwrap();
    assert_eq!(old, "signatures by SHA-1 with RSA");
    let curve = lacks("1.2.840.10045.4.3.3", "1.3.132.0.35", 521).unwrap();
    assert_eq!(curve, "keys of the curve P-521");
    assert_eq!(lacks("1.2.3", "1", 0).unwrap(), "signatures by 1.2.3");
}

const RSA: &str = "1.2.840.113549.1.1.1";

fn host() -> Entry {
    Entry {
        file: "a.pem".into(),
        certificate: Certificate {
            subject: "a".into(),
            issuer: "CA".into(),
            version: 3,
            names: vec!["a.example".into()],
            kind: Kind::Peer,
            usage: Usage::ANY,
            not_before: NOW - DAY,
            not_after: NOW + 365 * DAY,
            fingerprint: "00".into(),
            algorithm: Algorithm {
                signature: "1.2.840.10045.4.3.2".into(),
                key: "1.2.840.10045.3.1.7".into(),
                bits: 256,
            },
        },
        issuer: Issuer::Known("ca.pem".into()),
        key: Key::Fits("a.key".into(), Readers::Few),
    }
}

fn authority_entry() -> Entry {
    let mut entry = host();
    entry.certificate.kind = Kind::Authority;
    entry.certificate.names.clear();
    entry.issuer = Issuer::Itself;
    entry.key = Key::Elsewhere;
    entry
}
