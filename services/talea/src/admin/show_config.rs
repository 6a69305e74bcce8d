//! `talea config`: what is in force, without secrets; or the commented default.

use talea_platform::config::{self, Config};

#[derive(Debug, clap::Args)]
pub struct ConfigArguments {
    /// Print the commented default file instead.
    #[arg(long)]
    default: bool,
}

pub fn run(arguments: &ConfigArguments, load: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    if arguments.default {
        print!("{}", config::DEFAULT);
    } else {
        println!("{:#?}", load()?);
    }
    Ok(())
}
