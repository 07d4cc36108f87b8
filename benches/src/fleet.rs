//! Very many apps on one host, each with a component of its own.
//! Knows where a host keeps compiled code; everything else goes through the API.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use steerage_core::id::Digest;

use crate::apps::Template;
use crate::host::{App, Host};
use crate::plain::Plain;

/// Connections that deploy at once.
const N_DEPLOYING: usize = 4;

/// The apps of one data folder.
#[derive(Debug)]
pub(crate) struct Fleet<'f> {
    pub(crate) program: &'f Path,
    pub(crate) data: &'f Path,
    pub(crate) template: &'f Template,
}

impl Fleet<'_> {
    /// What an app of the fleet is called.
    pub(crate) fn name(number: u32) -> String {
        format!("app-{number:07}")
    }

    /// Starts a host on the folder.
    pub(crate) fn start(&self) -> Result<Host> {
        Host::on(self.program, Command::new(self.program), self.data, &[])
    }

    /// Deploys apps 1 to `n_apps` through the API, and one more to begin with.
    ///
    /// The host compiles that one. The code of the others is the same but for their text, so it is
    /// put where the host looks for code it has compiled before: compiling each of 100,000 would take
    /// an hour.
    pub(crate) fn fill(&self, n_apps: u32) -> Result<()> {
        let host = self.start()?;
        self.deploy(&mut Plain::connect(host.admin)?, 0)?;
        let compiled = self.compiled(&digest(&self.template.copy(0)?))?;
        let next = AtomicU32::new(1);
        let work = || -> Result<()> {
            let mut api = Plain::connect(host.admin)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > n_apps {
                    return Ok(());
                }
                compiled.copy(self.template, number)?;
                self.deploy(&mut api, number)
                    .with_context(|| format!("app {number} of {n_apps}"))?;
                if number.is_multiple_of(10_000) {
                    eprintln!("{number} apps are deployed");
                }
            }
        };
        std::thread::scope(|scope| {
            let threads = [(); N_DEPLOYING].map(|()| scope.spawn(work));
            threads.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow::Error::msg("a thread panicked"))?
            })
        })
    }

    fn deploy(&self, api: &mut Plain, number: u32) -> Result<()> {
        let wasm = self.template.copy(number)?;
        let component = digest(&wasm);
        let name = Self::name(number);
        let manifest = App { name: &name, source: "none", more: "" }.manifest();
        let request = json!({ "manifest": manifest, "component": component.to_string() });
        let deploy = format!("/v1/apps/{name}/deployments");
        for (method, path, body) in [
            ("PUT", format!("/v1/blobs/{component}"), wasm),
            ("POST", deploy, serde_json::to_vec(&request)?),
        ] {
            let (status, text) = api.ask(method, &path, &body)?;
            if status / 100 != 2 {
                bail!("{method} {path}: {text}");
            }
        }
        Ok(())
    }

    /// Finds the code of a component that the host has compiled.
    fn compiled(&self, component: &Digest) -> Result<Compiled> {
        let name = component.hex();
        for folder in std::fs::read_dir(self.data.join("code")).context("no folder of code")? {
            let folder = folder?.path();
            let read = |end: &str| std::fs::read(folder.join(format!("{name}.{end}")));
            if let (Ok(code), Ok(shape)) = (read("cwasm"), read("json")) {
                return Ok(Compiled { folder, code, shape });
            }
        }
        bail!("the host keeps its code elsewhere than this bench looks for it")
    }
}

/// What the host keeps of a component it compiled.
#[derive(Debug)]
struct Compiled {
    folder: PathBuf,
    code: Vec<u8>,
    shape: Vec<u8>,
}

impl Compiled {
    /// Puts the code of another copy beside it.
    fn copy(&self, template: &Template, number: u32) -> Result<()> {
        let name = digest(&template.copy(number)?).hex();
        std::fs::write(self.folder.join(format!("{name}.json")), &self.shape)?;
        let code = template.code(&self.code, number)?;
        std::fs::write(self.folder.join(format!("{name}.cwasm")), code)?;
        Ok(())
    }
}

fn digest(wasm: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(wasm).into())
}
