use std::fs;
use std::os::unix::fs::PermissionsExt;

use broker_proto::io::tls::connector_and_acceptor;
use broker_proto::tls::{Certificates, Tls};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509, X509Builder, X509Name, X509PurposeId, X509StoreContext};

use super::*;
use crate::certificate::findings::{Entry, Finding, Issuer, Key};

// WIRE §7.2: stock's OpenSSL looks at chain, validity and purpose, in both roles.
#[test]
fn openssl_takes_what_is_issued_in_both_roles_and_for_its_names() {
    let folder = Folder::new("openssl");
    let files = folder.with_host("sensor-1", &["10.0.0.2", "sensor.example", "fd00::2"]);
    let ca = X509::from_pem(&fs::read(&files.authority).unwrap()).unwrap();
    let own = X509::from_pem(&fs::read(&files.certificate).unwrap()).unwrap();
    assert!(ca.verify(&ca.public_key().unwrap()).unwrap());
    for certificate in [&ca, &own] {
        assert_eq!(certificate.version(), 2);
        assert!(!certificate.serial_number().to_bn().unwrap().is_negative());
    }
    for purpose in [X509PurposeId::SSL_CLIENT, X509PurposeId::SSL_SERVER] {
        assert!(is_taken(&own, &ca, purpose, None));
        assert!(!is_taken(&ca, &own, purpose, None));
        for name in ["sensor-1", "sensor.example"] {
            assert!(is_taken(&own, &ca, purpose, Some(name)), "{name}");
        }
        assert!(!is_taken(&own, &ca, purpose, Some("other.example")));
    }
    let names = own.subject_alt_names().unwrap();
    let addresses: Vec<_> = names.iter().filter_map(|name| name.ipaddress()).collect();
    assert_eq!(addresses[0], [10, 0, 0, 2]);
    assert_eq!(addresses[1].len(), 16);
}

#[tokio::test]
async fn two_hosts_of_a_ca_open_a_link_and_one_of_another_ca_does_not() {
    let folder = Folder::new("rustls");
    let [a, b] = ["a", "b"].map(|name| folder.with_host(name, &[]));
    let stranger = Folder::new("stranger");
    let stranger = stranger.with_host("a", &[]);
    let (_, acceptor) = connector_and_acceptor(&tls(&a)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().into();
    for (files, is_taken) in [(&b, true), (&stranger, false)] {
        let (connector, _) = connector_and_acceptor(&tls(files)).unwrap();
        let accepting = async {
            acceptor
                .accept(listener.accept().await.unwrap().0, LIMIT)
                .await
        };
        let (accepted, dialed) = tokio::join!(accepting, connector.connect(&addr));
        assert_eq!(accepted.is_ok(), is_taken);
        assert_eq!(dialed.is_ok(), is_taken);
    }
}

#[test]
fn keys_are_for_their_owner_and_nothing_is_left_beside_the_files() {
    let folder = Folder::new("modes");
    let out = folder.0.join("out");
    let files = folder.issue(&order("a", &[], Some(&out))).unwrap().files;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.ca()), 0o700);
    assert_eq!(mode(&folder.ca().join("ca.key")), 0o600);
    assert_eq!(mode(&files.key), 0o600);
    assert_eq!(names(&folder.ca()), ["a.pem", "ca.key", "ca.pem"]);
    assert_eq!(names(&out), ["a.key", "a.pem", "ca.pem"]);
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let folder = Folder::new("there");
    folder.with_host("a", &[]);
    let before = folder.contents();
    let again = init(&folder.ca(), "other", 10, None).unwrap_err();
    assert!(matches!(again, CertificateError::Exists { .. }), "{again}");
    let again = folder.issue(&order("a", &[], None)).unwrap_err();
    assert!(again.to_string().contains("--renew"), "{again}");
    let elsewhere = folder.0.join("elsewhere");
    assert!(folder.issue(&order("a", &[], Some(&elsewhere))).is_err());
    assert_eq!(folder.contents(), before);
}

#[test]
fn a_hosts_ca_file_stays_as_it_is_and_has_to_have_this_ca() {
    let (folder, other) = (Folder::new("bundle"), Folder::new("bundled"));
    let out = folder.0.join("out");
    let bundle = out.join("ca.pem");
    fs::create_dir(&out).unwrap();
    let foreign = fs::read_to_string(other.ca().join("ca.pem")).unwrap();
    fs::write(&bundle, &foreign).unwrap();
    let before = folder.contents();
    let error = folder.issue(&order("a", &[], Some(&out))).unwrap_err();
    let (own, there) = (folder.ca().join("ca.pem"), bundle.display());
    let command = format!("(cat {} >> {there})", own.display());
    assert!(error.to_string().contains(&command), "{error}");
    assert_eq!(names(&out), ["ca.pem"]);
    assert_eq!(folder.contents(), before);
    // As the text says.
    let both = foreign + &fs::read_to_string(own).unwrap();
    fs::write(&bundle, &both).unwrap();
    for name in ["a", "b"] {
        folder.issue(&order(name, &[], Some(&out))).unwrap();
    }
    assert_eq!(fs::read_to_string(&bundle).unwrap(), both);
    assert_eq!(names(&out), ["a.key", "a.pem", "b.key", "b.pem", "ca.pem"]);
}

#[test]
fn the_cas_own_directory_may_be_named_for_the_files() {
    let folder = Folder::new("own-directory");
    let authority = fs::read(folder.ca().join("ca.pem")).unwrap();
    let again = folder.0.join("again");
    std::os::unix::fs::symlink(folder.ca(), &again).unwrap();
    for (name, out) in [("a", &folder.ca()), ("b", &again)] {
        let order = order(name, &[], Some(out));
        let files = folder.issue(&order).unwrap().files;
        assert_eq!(files, Files::of(name, &folder.ca()));
        let former = Former::Renew;
        folder.issue(&Order { former, ..order }).unwrap();
        assert_eq!(folder.entry(name).findings(now()), []);
    }
    let all = ["a.key", "a.pem", "b.key", "b.pem", "ca.key", "ca.pem"];
    assert_eq!(names(&folder.ca()), all);
    assert_eq!(fs::read(folder.ca().join("ca.pem")).unwrap(), authority);
}

#[test]
fn renewing_for_a_directory_changes_one_file_in_it() {
    let folder = Folder::new("renew-out");
    let out = folder.0.join("out");
    let former = folder.issue(&order("a", &[], Some(&out))).unwrap().files;
    let key = fs::read(&former.key).unwrap();
    fs::write(&former.authority, "of somebody else").unwrap();
    let renewed = folder.issue(&Order {
        former: Former::Renew,
        ..order("a", &[], Some(&out))
    });
    let certificate = fs::read(renewed.unwrap().files.certificate).unwrap();
    assert_eq!(certificate, fs::read(folder.ca().join("a.pem")).unwrap());
    assert_eq!(fs::read(&former.key).unwrap(), key);
    assert_eq!(fs::read(&former.authority).unwrap(), b"of somebody else");
}

#[test]
fn a_key_without_its_certificate_is_not_overwritten_either() {
    let folder = Folder::empty("lone");
    fs::create_dir_all(folder.ca()).unwrap();
    fs::write(folder.ca().join("ca.key"), "a key").unwrap();
    let error = init(&folder.ca(), "CA", 10, None).unwrap_err().to_string();
    assert!(error.contains("interrupted"), "{error}");
    assert_eq!(fs::read(folder.ca().join("ca.key")).unwrap(), b"a key");
}

#[test]
fn a_renewed_certificate_has_the_same_key_and_names_and_another_end() {
    let folder = Folder::new("renew");
    let out = folder.0.join("out");
    let files = folder
        .issue(&order("a", &["10.0.0.2"], Some(&out)))
        .unwrap();
    let key = fs::read(&files.files.key).unwrap();
    let before = folder.entry("a");
    let renewed = folder.issue(&Order {
        days: 700,
        former: Former::Renew,
        ..order("a", &[], None)
    });
    assert!(renewed.unwrap().not_after > files.not_after);
    let after = folder.entry("a");
    assert_eq!(after.certificate.names, ["a", "10.0.0.2"]);
    assert_eq!(after.certificate.names, before.certificate.names);
    assert_ne!(
        after.certificate.fingerprint,
        before.certificate.fingerprint
    );
    // The key that is with the host goes with the certificate that is with the CA.
    let key = read::key(&key, None).unwrap();
    let certificate = fs::read(folder.ca().join("a.pem")).unwrap();
    assert!(read::fits(&read::first(&certificate).unwrap(), &key));
}

#[test]
fn no_certificate_outlives_its_ca() {
    let folder = Folder::new("end");
    let order = Order {
        days: 36_500,
        ..order("a", &[], None)
    };
    let issued = folder.issue(&order).unwrap();
    let entry = folder.entry("ca");
    assert_eq!(issued.not_after, entry.certificate.not_after);
    assert_eq!(folder.entry("a").certificate.not_after, issued.not_after);
}

#[test]
fn an_encrypted_ca_wants_its_passphrase() {
    let folder = Folder::empty("secret");
    let secret = Passphrase::new("open sesame".to_owned());
    init(&folder.ca(), "CA", 10, Some(&secret)).unwrap();
    let order = order("a", &[], None);
    let error = issue(&folder.ca(), &order, None).unwrap_err().to_string();
    assert!(error.contains("encrypted"), "{error}");
    let wrong = Passphrase::new("close".to_owned());
    assert!(issue(&folder.ca(), &order, Some(&wrong)).is_err());
    issue(&folder.ca(), &order, Some(&secret)).unwrap();
}

#[test]
fn names_that_are_paths_or_more_than_a_name_are_refused() {
    let folder = Folder::new("names");
    for name in [
        "../a",
        "",
        "ca",
        ".a",
        "-a",
        "a/b",
        "a b",
        "ä",
        &"a".repeat(61),
    ] {
        let error = folder.issue(&order(name, &[], None)).unwrap_err();
        assert!(
            matches!(error, CertificateError::Name(_)),
            "{name}: {error}"
        );
    }
    for host in ["", "a,IP:1.2.3.4", "a b", "fd00::/8"] {
        let error = folder.issue(&order("a", &[host], None)).unwrap_err();
        assert!(
            matches!(error, CertificateError::Host(_)),
            "{host}: {error}"
        );
    }
    let own = folder.issue(&order("CA", &[], None)).unwrap_err();
    assert!(matches!(own, CertificateError::OwnName(_)), "{own}");
}

#[test]
fn issuing_without_a_ca_that_can_sign_says_why() {
    let folder = Folder::empty("no-ca");
    let error = folder.issue(&order("a", &[], None)).unwrap_err();
    assert!(matches!(error, CertificateError::NoAuthority(_)), "{error}");
    let other = Folder::new("other");
    let host = other.with_host("a", &[]);
    fs::create_dir_all(folder.ca()).unwrap();
    fs::copy(&host.certificate, folder.ca().join("ca.pem")).unwrap();
    let error = folder
        .issue(&order("a", &[], None))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not the certificate of a CA"), "{error}");
    fs::copy(&host.authority, folder.ca().join("ca.pem")).unwrap();
    fs::copy(&host.key, folder.ca().join("ca.key")).unwrap();
    let error = folder
        .issue(&order("a", &[], None))
        .unwrap_err()
        .to_string();
    assert!(error.contains("not the key"), "{error}");
}

#[test]
fn what_was_issued_is_shown_as_in_order() {
    let folder = Folder::new("shown");
    let files = folder.with_host("a", &["10.0.0.2"]);
    let entry = folder.entry("a");
    assert_eq!(entry.findings(now()), []);
    assert_eq!(entry.issuer, Issuer::Known(files.authority));
    assert!(matches!(&entry.key, Key::Fits(file, _) if *file == files.key));
    assert_eq!(entry.certificate.subject, "a");
    assert_eq!(entry.certificate.issuer, "CA");
    let own = X509::from_pem(&fs::read(&files.certificate).unwrap()).unwrap();
    let digest = own.digest(MessageDigest::sha256()).unwrap();
    let digest: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(entry.certificate.fingerprint, digest.join(":"));
    assert_eq!(folder.entry("ca").findings(now()), []);
    assert_eq!(folder.entry("ca").issuer, Issuer::Itself);
}

#[test]
fn what_others_made_is_shown_with_what_is_wrong() {
    let folder = Folder::new("others");
    let maker = Maker::load(&folder.ca(), None).unwrap();
    let make = |name: &str, change: &dyn Fn(&mut X509Builder)| {
        let key = make::key().unwrap();
        let mut builder = plain(name, &key, &maker);
        change(&mut builder);
        builder.sign(&maker.key, MessageDigest::sha256()).unwrap();
        let pem = builder.build().to_pem().unwrap();
        fs::write(folder.ca().join(format!("{name}.pem")), pem).unwrap();
        fs::write(
            folder.ca().join(format!("{name}.key")),
            make::key_pem(&key, None).unwrap(),
        )
        .unwrap();
        folder.entry(name).findings(now())
    };
    let for_all = |name: &str| Finding::KeyForAll(folder.ca().join(format!("{name}.key")));
    let version = make("v1", &|builder| builder.set_version(0).unwrap());
    assert_eq!(
        version,
        [Finding::Version1, Finding::NoNames, for_all("v1")]
    );
    let expired = make("old", &|builder| {
        let end = Asn1Time::from_unix(now() - 5 * 24 * 60 * 60).unwrap();
        builder.set_not_after(&end).unwrap();
    });
    assert_eq!(expired[0], Finding::Expired { days: 5 });
    let usage = make("client", &|builder| {
        let mut usage = openssl::x509::extension::ExtendedKeyUsage::new();
        builder
            .append_extension(usage.client_auth().build().unwrap())
            .unwrap();
    });
    assert_eq!(usage[0], Finding::NotForListening);
}

#[test]
fn files_of_another_ca_and_keys_of_nobody_are_told() {
    let (own, other) = (Folder::new("own"), Folder::new("foreign"));
    let (mine, foreign) = (own.with_host("a", &[]), other.with_host("b", &[]));
    let shown = |files: &[PathBuf]| show(&own.ca(), files).unwrap();
    let [Shown::Certificate(entry)] = &shown(std::slice::from_ref(&foreign.certificate))[..] else {
        panic!("one certificate");
    };
    assert_eq!(entry.issuer, Issuer::Unknown);
    // With its CA it is in order.
    let both = shown(&[foreign.certificate.clone(), foreign.authority.clone()]);
    let Shown::Certificate(entry) = &both[0] else {
        panic!("{both:?}");
    };
    assert_eq!(entry.issuer, Issuer::Known(foreign.authority.clone()));
    let lone = shown(&[mine.certificate.clone(), foreign.key.clone()]);
    assert!(matches!(&lone[1], Shown::Unreadable { .. }), "{lone:?}");
    fs::write(own.ca().join("a.key"), fs::read(&foreign.key).unwrap()).unwrap();
    assert!(matches!(own.entry("a").key, Key::Foreign(..)));
    fs::write(own.ca().join("a.key"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    assert!(matches!(own.entry("a").key, Key::Unreadable(..)));
}

#[test]
fn garbage_is_told_file_by_file() {
    let folder = Folder::new("garbage");
    let files = [
        ("a.pem", &b"\0\xff garbage"[..]),
        ("b.pem", b""),
        (
            "c.pem",
            b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        ),
        ("d.pem", &[b'x'; 1024 * 1024 + 1]),
    ];
    let mut named = vec![folder.ca().join("missing.pem")];
    for (name, bytes) in files {
        let path = folder.ca().join(name);
        fs::write(&path, bytes).unwrap();
        named.push(path);
    }
    let shown = show(&folder.ca(), &named).unwrap();
    assert_eq!(shown.len(), 5);
    for (shown, expected) in shown.iter().zip(&named) {
        assert!(matches!(shown, Shown::Unreadable { file, .. } if file == expected));
    }
}

#[test]
fn times_read_as_people_write_them() {
    // `date -u -d @1800000000`
    assert_eq!(date(1_800_000_000), "2027-01-15 08:00 UTC");
    assert!(!date(i64::MAX).is_empty() && !date(i64::MIN).is_empty());
}

fn plain(
    name: &str,
    key: &openssl::pkey::PKey<openssl::pkey::Private>,
    maker: &Maker,
) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.set_subject_name(&subject.build()).unwrap();
    builder
        .set_issuer_name(maker.certificate.subject_name())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    let begin = Asn1Time::from_unix(1_000_000_000).unwrap();
    builder.set_not_before(&begin).unwrap();
    let end = Asn1Time::from_unix(now() + 100 * 24 * 60 * 60).unwrap();
    builder.set_not_after(&end).unwrap();
    builder
}

fn is_taken(own: &X509, ca: &X509, purpose: X509PurposeId, host: Option<&str>) -> bool {
    let mut param = X509VerifyParam::new().unwrap();
    param.set_purpose(purpose).unwrap();
    if let Some(host) = host {
        param.set_host(host).unwrap();
    }
    let mut store = X509StoreBuilder::new().unwrap();
    store.set_param(&param).unwrap();
    store.add_cert(ca.clone()).unwrap();
    let (store, chain) = (store.build(), Stack::new().unwrap());
    let mut context = X509StoreContext::new().unwrap();
    context
        .init(&store, own, &chain, |context| context.verify_cert())
        .unwrap()
}

fn tls(files: &Files) -> Tls {
    Tls::Certificates(Certificates {
        certificate: Some(files.certificate.clone()),
        keyfile: Some(files.key.clone()),
        cafile: Some(files.authority.clone()),
        ..Certificates::default()
    })
}

const DAYS: u32 = 365;
const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

fn order<'a>(name: &'a str, hosts: &[&str], out: Option<&'a Path>) -> Order<'a> {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    Order {
        name,
        hosts: hosts.leak(),
        days: DAYS,
        out,
        former: Former::Absent,
    }
}

fn names(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap();
    let name = |file: io::Result<fs::DirEntry>| file.unwrap().file_name();
    let mut names: Vec<String> = files.map(|it| name(it).into_string().unwrap()).collect();
    names.sort();
    names
}

/// A directory that goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn empty(name: &str) -> Self {
        let name = format!("zeek-mgmt-certificates-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// With a CA called CA.
    fn new(name: &str) -> Self {
        let folder = Self::empty(name);
        init(&folder.ca(), "CA", 3650, None).unwrap();
        folder
    }

    fn ca(&self) -> PathBuf {
        self.0.join("ca")
    }

    fn issue(&self, order: &Order<'_>) -> Result<Issued, CertificateError> {
        issue(&self.ca(), order, None)
    }

    fn with_host(&self, name: &str, hosts: &[&str]) -> Files {
        self.issue(&order(name, hosts, None)).unwrap().files
    }

    /// What is shown of one file in the CA's directory.
    fn entry(&self, name: &str) -> Entry {
        let file = self.ca().join(format!("{name}.pem"));
        let shown = show(&self.ca(), &[]).unwrap().into_iter();
        let mut entries = shown.filter_map(|shown| match shown {
            Shown::Certificate(entry) => Some(*entry),
            Shown::Unreadable { .. } => None,
        });
        entries.find(|entry| entry.file == file).unwrap()
    }

    fn contents(&self) -> Vec<Vec<u8>> {
        let names = names(&self.ca()).into_iter();
        names
            .map(|name| fs::read(self.ca().join(name)).unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
