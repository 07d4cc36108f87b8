//! `steerage cert`: the fleet's own authority, and the certificates of its hosts. Everything is made
//! in folders, and not sent.
//! Does not read what a host makes of them: `identity` does, and this asks it whether all is well.

mod rotate;
mod trust;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::DnsName;
use steerage_core::id::HostName;
use steerage_core::revoked::BACKDATED;
use x509_parser::pem::parse_x509_pem;

use super::args::{Cert, CertInit, CertIssue, CertRenew, CertVerb};
use super::ending::Refused;
use super::screen::Screen;
use crate::identity::{CA, CERTIFICATE, Identity, KEY, issuing};
use crate::pem;

const CA_KEY: &str = "ca.key";
/// The authority's name, which people see in error messages only.
const AUTHORITY: &str = "Steerage fleet";
const DAY: Duration = Duration::from_secs(86_400);

/// Runs the verb.
pub(super) fn run(args: &Cert) -> anyhow::Result<()> {
    match &args.verb {
        CertVerb::Init(args) => init(args),
        CertVerb::Issue(args) => issue(args),
        CertVerb::Renew(args) => renew(args),
        CertVerb::Trust(args) => trust::trust(args),
        CertVerb::Distrust(args) => trust::distrust(args),
        CertVerb::Rotate(args) => super::wait(rotate::rotate(args)),
    }
}

fn init(args: &CertInit) -> anyhow::Result<()> {
    let (certificate, key) = (args.dir.join(CA), args.dir.join(CA_KEY));
    refuse_existing(
        &[&certificate, &key],
        "a fleet has one authority; to make another fleet, give another --dir",
    )?;
    let keys = KeyPair::generate().context("cannot make a key")?;
    let mut params = issuing::params(valid(args.days));
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    // It signs hosts only, no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let made = params.self_signed(&keys).context("cannot sign the authority's certificate")?;
    make_folder(&args.dir)?;
    write_new(&key, &keys.serialize_pem(), 0o600)?;
    write_new(&certificate, &made.pem(), 0o644)?;
    let screen = Screen::plain(args.quiet);
    let dir = args.dir.display();
    screen.hint(&format!(
        "made the fleet's authority in {dir}/\n  {CA}   every host gets a copy\n  {CA_KEY}   keep \
         it secret, and in a safe place: whoever has it can let hosts into the fleet\n\nnext, for \
         each host:\n  steerage cert issue NAME --dir {dir} --address IP"
    ))
}

fn issue(args: &CertIssue) -> anyhow::Result<()> {
    let name = HostName::parse(&args.name).map_err(|error| Refused(error.to_string()))?;
    let addresses = args.address.iter().map(|address| checked(address));
    let addresses = addresses.collect::<Result<Vec<String>, Refused>>()?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(name.as_str()));
    let (certificate, key) = (out.join(CERTIFICATE), out.join(KEY));
    refuse_existing(
        &[&certificate, &key],
        "renew them with `steerage cert renew`, or give another --out",
    )?;
    let authority = Authority::read(&args.dir)?;
    authority.check_days(args.days)?;
    let keys = KeyPair::generate().context("cannot make a key")?;
    let params = of_host(&name, addresses, args.days)?;
    let made = params.signed_by(&keys, &authority.issuer).context("cannot sign the certificate")?;
    make_folder(&out)?;
    fs::write(out.join(CA), &authority.pem)
        .with_context(|| format!("cannot write {}", out.join(CA).display()))?;
    write_new(&key, &keys.serialize_pem(), 0o600)?;
    write_new(&certificate, &made.pem(), 0o644)?;
    // What the host will say of it is better said here.
    let identity = Identity::load(&out)
        .inspect_err(|_| {
            [&certificate, &key].into_iter().for_each(|file| drop(fs::remove_file(file)));
        })
        .with_context(|| format!("{} cannot issue certificates", args.dir.display()))?;
    let (screen, out) = (Screen::plain(args.quiet), out.display());
    screen.hint(&format!(
        "made the certificate of {name} in {out}/, valid until {}\n\nnext:\n  copy {out}/ to the \
         host, readable for its user only, and there\n  steerage host --name {name} --identity \
         {out} --store etcd://...",
        identity.ends().strftime("%Y-%m-%d")
    ))
}

fn renew(args: &CertRenew) -> anyhow::Result<()> {
    let (certificate, key) = (args.folder.join(CERTIFICATE), args.folder.join(KEY));
    let (name, addresses) = named(&certificate)?;
    let authority = Authority::read(&args.dir)?;
    authority.check_days(args.days)?;
    let keys = KeyPair::generate().context("cannot make a key")?;
    let params = of_host(&name, addresses, args.days)?;
    let made = params.signed_by(&keys, &authority.issuer).context("cannot sign the certificate")?;
    // Beside the old ones and looked at first: a host that runs shows what is there.
    let beside = tempfile::tempdir_in(&args.folder)
        .with_context(|| format!("cannot write into {}", args.folder.display()))?;
    let new = |file: &str| beside.path().join(file);
    write_new(&new(CA), &authority.pem, 0o644)?;
    write_new(&new(KEY), &keys.serialize_pem(), 0o600)?;
    write_new(&new(CERTIFICATE), &made.pem(), 0o644)?;
    let identity = Identity::load(beside.path())
        .with_context(|| format!("{} cannot issue certificates", args.dir.display()))?;
    keep_authorities(&args.folder, beside.path())?;
    for (file, path) in [(KEY, &key), (CERTIFICATE, &certificate)] {
        fs::rename(new(file), path)
            .with_context(|| format!("cannot replace {}", path.display()))?;
    }
    let (screen, folder) = (Screen::plain(args.quiet), args.folder.display());
    screen.hint(&format!(
        "renewed the certificate of {name} in {folder}/, valid until {}\n\nnext:\n  where the host \
         reads it from another folder, copy {KEY} and {CERTIFICATE} there; it shows them within \
         seconds, without a restart",
        identity.ends().strftime("%Y-%m-%d")
    ))
}

/// Checks that the host believes the authority of its new certificate: it is used by the file with its
/// authorities, which stays.
fn keep_authorities(folder: &Path, beside: &Path) -> anyhow::Result<()> {
    let authorities = folder.join(CA);
    if !authorities.exists() {
        return Ok(());
    }
    fs::copy(&authorities, beside.join(CA))
        .with_context(|| format!("cannot read {}", authorities.display()))?;
    Identity::load(beside).map(drop).map_err(|error| {
        let folder = folder.display();
        let next = format!("`steerage cert trust {folder} --dir NEW` adds its authority there");
        Refused(format!("the certificate in {folder} stays as it was: {error}; {next}")).into()
    })
}

/// Whom a certificate is for, and where that host is reached.
fn named(path: &Path) -> anyhow::Result<(HostName, Vec<String>)> {
    let refused = |why: &dyn std::fmt::Display| {
        Refused(format!(
            "cannot read {}: {why}; `steerage cert issue NAME` makes a host's certificate",
            path.display()
        ))
    };
    let pem = fs::read(path).map_err(|error| refused(&error))?;
    let (_, block) = parse_x509_pem(&pem).map_err(|error| refused(&error))?;
    Ok(issuing::named(&block.contents).map_err(|why| refused(&why))?)
}

/// The authority, as `init` made it.
struct Authority {
    pem: String,
    ends: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = folder.join(file);
            fs::read_to_string(&path).map_err(|error| {
                Refused(format!(
                    "cannot read {}: {error}; `steerage cert init --dir {}` makes an authority",
                    path.display(),
                    folder.display()
                ))
            })
        };
        let (text, key) = (read(CA)?, read(CA_KEY)?);
        let refused = |file, why: &dyn std::fmt::Display| {
            Refused(format!("cannot use {}: {why}", folder.join(file).display()))
        };
        pem::certificates(text.as_bytes()).map_err(|why| refused(CA, &why))?;
        pem::private_key(key.as_bytes()).map_err(|why| refused(CA_KEY, &why))?;
        let (_, block) = parse_x509_pem(text.as_bytes()).map_err(|error| refused(CA, &error))?;
        let parsed = block.parse_x509().map_err(|error| refused(CA, &error))?;
        let ends = Timestamp::from_second(parsed.validity().not_after.timestamp())?;
        let keys = KeyPair::from_pem(&key).map_err(|error| refused(CA_KEY, &error))?;
        let issuer = Issuer::from_ca_cert_pem(&text, keys).map_err(|error| refused(CA, &error))?;
        Ok(Self { pem: text, ends, issuer })
    }

    /// A certificate that outlives its authority would stop working before its time.
    fn check_days(&self, days: u32) -> Result<(), Refused> {
        let left = self.ends.duration_since(Timestamp::now()).as_secs().max(0) / 86_400;
        if i64::from(days) <= left {
            return Ok(());
        }
        let ends = self.ends.strftime("%Y-%m-%d");
        Err(Refused(format!(
            "the authority is valid until {ends}, and the certificate would be for longer: give \
             --days {left} or less"
        )))
    }
}

/// From when on what is made now is valid, and until when.
fn valid(days: u32) -> (SystemTime, SystemTime) {
    let now = SystemTime::now();
    (now - BACKDATED, now + DAY * days)
}

fn of_host(
    name: &HostName,
    addresses: Vec<String>,
    days: u32,
) -> anyhow::Result<CertificateParams> {
    issuing::of_host(name, addresses, valid(days)).context("cannot write the host's addresses")
}

fn checked(address: &str) -> Result<String, Refused> {
    let is_name = || DnsName::try_from(address).is_ok();
    if address.parse::<IpAddr>().is_ok() || is_name() {
        return Ok(address.to_owned());
    }
    Err(Refused(format!(
        "{address:?} is neither an IP address nor a DNS name; --address takes no port and no URL"
    )))
}

fn refuse_existing(files: &[&Path], next: &str) -> Result<(), Refused> {
    match files.iter().find(|file| file.exists()) {
        Some(file) => Err(Refused(format!("{} exists already: {next}", file.display()))),
        None => Ok(()),
    }
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).with_context(|| format!("cannot make directory {}", path.display()))
}

fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(
        |mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        },
    );
    written.with_context(|| format!("cannot write {}", path.display()))
}
