//! `steerage cert trust` and `distrust`: which authorities a host believes, in its `ca.pem`. With both the
//! old and the new one there, certificates are changed one host after the other.
//! Does not know what the hosts of the fleet show: each looks at that itself when it reads the file.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::super::args::CertTrust;
use super::super::ending::Refused;
use super::super::screen::Screen;
use super::write_new;
use crate::identity::{CA, CERTIFICATE, Identity, KEY};
use crate::pem;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates of a file, each as its text and what that stands for.
struct Certificates(Vec<(String, Vec<u8>)>);

impl Certificates {
    fn read(path: &Path) -> Result<Self, Refused> {
        let refused =
            |why: &dyn std::fmt::Display| Refused(format!("cannot use {}: {why}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| refused(&error))?;
        let mut all = Vec::new();
        for section in text.split(BEGIN).skip(1) {
            let inner = section.split(END).next().unwrap_or_default();
            let text = format!("{BEGIN}{inner}{END}\n");
            let found = pem::certificates(text.as_bytes()).map_err(|why| refused(&why))?;
            all.extend(found.into_iter().map(|one| (text.clone(), one.as_ref().to_vec())));
        }
        if all.is_empty() {
            return Err(refused(&"it holds no certificate in PEM"));
        }
        Ok(Self(all))
    }

    fn has(&self, one: &[u8]) -> bool {
        self.0.iter().any(|(_, known)| known == one)
    }
}

/// Adds an authority to those that a host believes.
pub(super) fn trust(args: &CertTrust) -> anyhow::Result<()> {
    let (mut own, other) = both(args)?;
    let new: Vec<_> = other.0.into_iter().filter(|(_, one)| !own.has(one)).collect();
    if new.is_empty() {
        return say(args, "is believed already", None);
    }
    own.0.extend(new);
    replace(&args.folder, &own)?;
    let next = "where the host reads its files from another folder, copy ca.pem there; it believes both \
                within seconds, without a restart. Once `steerage fleet authorities` shows that all hosts \
                do, renew their certificates with the new authority: `steerage cert renew DIR --dir NEW`";
    say(args, "is believed as well", Some(next))
}

/// Takes an authority from those that a host believes.
pub(super) fn distrust(args: &CertTrust) -> anyhow::Result<()> {
    let (mut own, other) = both(args)?;
    let n_before = own.0.len();
    own.0.retain(|(_, one)| !other.has(one));
    if own.0.len() == n_before {
        return say(args, "is not believed", None);
    }
    if own.0.is_empty() {
        let (folder, dir) = (args.folder.display(), args.dir.display());
        let why = format!(
            "{folder}/{CA} holds no other authority than that of {dir}: nobody would be believed; add \
             another first, with `steerage cert trust {folder} --dir NEW`"
        );
        return Err(Refused(why).into());
    }
    replace(&args.folder, &own)?;
    let next = "where the host reads its files from another folder, copy ca.pem there; a host that runs \
                goes on believing it while another one shows a certificate of it, and tells so";
    say(args, "is not believed any more", Some(next))
}

fn both(args: &CertTrust) -> Result<(Certificates, Certificates), Refused> {
    Ok((Certificates::read(&args.folder.join(CA))?, Certificates::read(&args.dir.join(CA))?))
}

/// Writes the authorities, if the host's own certificate is of one of them.
fn replace(folder: &Path, all: &Certificates) -> anyhow::Result<()> {
    let beside = tempfile::tempdir_in(folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    let new = beside.path().join(CA);
    let text: String = all.0.iter().map(|(text, _)| text.as_str()).collect();
    write_new(&new, &text, 0o644)?;
    for file in [CERTIFICATE, KEY] {
        fs::copy(folder.join(file), beside.path().join(file))
            .with_context(|| format!("cannot read {}", folder.join(file).display()))?;
    }
    Identity::load(beside.path()).map_err(|error| {
        Refused(format!("{} stays as it was: {error}", folder.join(CA).display()))
    })?;
    fs::rename(new, folder.join(CA))
        .with_context(|| format!("cannot replace {}", folder.join(CA).display()))
}

fn say(args: &CertTrust, what: &str, next: Option<&str>) -> anyhow::Result<()> {
    let (dir, folder) = (args.dir.display(), args.folder.display());
    let next =
        next.map_or_else(|| "; nothing was changed".into(), |next| format!("\n\nnext:\n  {next}"));
    Screen::plain(args.quiet).hint(&format!("{folder}: the authority of {dir} {what}{next}"))
}
