//! `zeek-mgmt ca`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use broker_proto::tls::Passphrase;
use clap::{Args, Subcommand};
use mgmt::certificate::findings::{Entry, Issuer, Key, Weight};
use mgmt::certificate::{Certificate, Kind, Usage};
use mgmt::io::certificates::{self, Former, Order, Shown};

#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Makes a CA: ca.pem, which every host gets, and ca.key, which stays here.
    Init(InitArgs),
    /// Issues a certificate with which a host can dial and listen, and prints the settings to paste.
    Issue(IssueArgs),
    /// Tells what is in certificates, and who would refuse them and why.
    ///
    /// The exit code is 1 if somebody would.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct Place {
    /// The CA's directory.
    #[arg(long, value_name = "DIR", default_value = "zeek-ca")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Protection {
    /// A file with the passphrase of the CA's key, in its first line.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct InitArgs {
    #[command(flatten)]
    place: Place,
    /// How long it is valid.
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days())]
    days: u32,
    #[command(flatten)]
    protection: Protection,
    /// What certificates will call it.
    #[arg(value_name = "NAME", default_value = certificates::NAME)]
    name: String,
}

#[derive(Debug, Args)]
struct IssueArgs {
    #[command(flatten)]
    place: Place,
    /// A name or address by which others reach the host, besides NAME. May be given more than once.
    #[arg(long, value_name = "NAME-OR-ADDRESS")]
    host: Vec<String>,
    /// How long it is valid; never longer than the CA.
    #[arg(long, value_name = "N", default_value_t = 730, value_parser = days())]
    days: u32,
    /// Write ca.pem, NAME.pem and NAME.key here, to be copied; the key goes nowhere else.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Issue NAME's certificate again, for the same key and names; only NAME.pem changes.
    #[arg(long)]
    renew: bool,
    #[command(flatten)]
    protection: Protection,
    /// Whose certificate.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// Certificates and keys; without any, all of the directory.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}

pub(crate) fn ca(args: CaArgs) -> Result<ExitCode, Box<dyn Error>> {
    match args.command {
        CaCommand::Init(args) => init(&args),
        CaCommand::Issue(args) => issue(&args),
        CaCommand::Show(args) => show(&args),
    }
}

fn init(args: &InitArgs) -> Result<ExitCode, Box<dyn Error>> {
    let secret = args.protection.passphrase()?;
    let files = certificates::init(&args.place.dir, &args.name, args.days, secret.as_ref())?;
    println!(
        "{}  the CA's certificate, for every host",
        files.certificate.display()
    );
    println!(
        "{}  its key: keep it here, and keep it secret",
        files.key.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn issue(args: &IssueArgs) -> Result<ExitCode, Box<dyn Error>> {
    let secret = args.protection.passphrase()?;
    let order = Order {
        name: &args.name,
        hosts: &args.host,
        days: args.days,
        out: args.out.as_deref(),
        former: match args.renew {
            true => Former::Renew,
            false => Former::Absent,
        },
    };
    let issued = certificates::issue(&args.place.dir, &order, secret.as_ref())?;
    let files = &issued.files;
    let end = certificates::date(issued.not_after);
    println!("{}  valid until {end}", files.certificate.display());
    if args.renew {
        println!("Put it in the place of the former one and send SIGHUP to zeek-mgmt there.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}  its key", files.key.display());
    println!("{}  the CA's certificate\n", files.authority.display());
    println!("zeek-mgmt and the nodes it starts, as arguments of `zeek-mgmt run`:\n");
    println!("{}\n", indented(&files.arguments()));
    println!("stock processes, in a script; or a file for `zeek-mgmt … --redef FILE`:\n");
    println!("{}", indented(&files.zeek()));
    println!("the controller's WebSocket port, in the same script:\n");
    println!("{}", indented(&files.zeek_websocket()));
    println!("zeek-client, in a file named by ZEEK_CLIENT_CONFIG_FILE or -c:\n");
    print!("{}", indented(&files.client()));
    Ok(ExitCode::SUCCESS)
}

impl Protection {
    fn passphrase(&self) -> Result<Option<Passphrase>, String> {
        let Some(path) = &self.passphrase_file else {
            return Ok(None);
        };
        let text = crate::plan::read(path)?;
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(format!("{}: there is no passphrase in it", path.display()));
        }
        Ok(Some(Passphrase::new(line.to_owned())))
    }
}

fn show(args: &ShowArgs) -> Result<ExitCode, Box<dyn Error>> {
    let now = certificates::now();
    let mut worst = Weight::Remark;
    for shown in certificates::show(&args.place.dir, &args.files)? {
        match shown {
            Shown::Certificate(entry) => {
                print!("{}", told(&entry, now));
                for finding in entry.findings(now) {
                    let weight = match finding.weight() {
                        Weight::Remark => "note",
                        Weight::Wrong => "WRONG",
                    };
                    println!("  {weight}: {finding}");
                    worst = worst.max(finding.weight());
                }
            }
            Shown::Unreadable { file, problem } => {
                println!("{}\n  WRONG: {problem}", file.display());
                worst = Weight::Wrong;
            }
        }
    }
    Ok(ExitCode::from(u8::from(worst == Weight::Wrong)))
}

fn told(entry: &Entry, now: i64) -> String {
    let Certificate {
        subject,
        issuer,
        version,
        names,
        kind,
        usage,
        not_before,
        not_after,
        fingerprint,
        ..
    } = &entry.certificate;
    let signed = match &entry.issuer {
        Issuer::Itself => "itself".to_owned(),
        Issuer::Known(file) => format!("{issuer} ({})", file.display()),
        Issuer::Unknown => format!("{issuer} (not known here)"),
    };
    let key = match &entry.key {
        Key::Elsewhere => "not here".to_owned(),
        Key::Fits(file, _) => format!("{}, fits", file.display()),
        Key::Foreign(file, _) => format!("{}, does not fit", file.display()),
        Key::Encrypted(file, _) => format!("{}, encrypted", file.display()),
        Key::Unreadable(file, _) => format!("{}, does not read", file.display()),
    };
    let left = not_after.saturating_sub(now) / (24 * 60 * 60);
    let lines = [
        ("subject", subject.clone()),
        ("names", names.join(", ")),
        ("for", purpose(*kind, *usage)),
        ("from", certificates::date(*not_before)),
        (
            "until",
            format!("{} ({left} days)", certificates::date(*not_after)),
        ),
        ("signed by", signed),
        ("key", key),
        ("SHA-256", fingerprint.clone()),
        ("X.509", format!("version {version}")),
    ];
    let mut text = format!("{}\n", entry.file.display());
    for (label, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {label:<10} {value}\n"));
    }
    text
}

fn purpose(kind: Kind, usage: Usage) -> String {
    let uses = match kind {
        Kind::Authority => vec![(usage.sign, "signing")],
        Kind::Peer => vec![(usage.serve, "listening"), (usage.dial, "dialing")],
    };
    let uses: Vec<&str> = uses
        .into_iter()
        .filter_map(|(may, use_)| may.then_some(use_))
        .collect();
    uses.join(" and ")
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("    {line}\n"));
    lines.collect()
}
