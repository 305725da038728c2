//! `understory key`: making, showing, rotating, ending and recovering keys.

use super::{
    cli::{KeyCommand, KeyName, KeyPlace, RotateArgs},
    holder, opening,
};
use crate::{hint::WithHint, print::print, units::now};
use anyhow::{Context, Result, anyhow};
use commons::{keys::Role, workspace::Rotation};
use ids::{Identity, key_file::Seed};
use std::io::{IsTerminal, Read};
use zeroize::Zeroizing;

pub fn key(command: &KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Create(place) => create(place),
        KeyCommand::Show(place) => show(place),
        KeyCommand::Import { name, place } => import(*name, place),
        KeyCommand::Rotate(args) => rotate(args),
        KeyCommand::Revoke(place) => {
            opening::said_by(place, |workspace| workspace.revoke(now())).map(drop)
        }
        KeyCommand::Recover { member, place } => {
            let mut workspace = opening::to_sign(place)?;
            let (statement, threshold) = workspace.recover(member, now())?;
            opening::report(workspace.outcome(&statement), place.json, &statement)?;
            if !place.json {
                let hash = statement.hash().short();
                println!(
                    "{threshold} guardians have to say `understory commons check {hash} confirmed`"
                );
            }
            Ok(())
        }
        KeyCommand::Device { member, place } => {
            let workspace = opening::to_sign(place)?;
            let device = workspace.device(&workspace.member(member)?)?;
            let object = serde_json::json!({ "device": device.to_string() });
            print(place.json, &object, || format!("{device}\n"))
        }
    }
}

fn create(place: &KeyPlace) -> Result<()> {
    let keys = holder::keys(place.keys.as_deref())?;
    if keys.has(Role::Current) {
        keys.refuse_old(Role::Current)?;
        return Err(anyhow!("there is a key in {} already", keys.dir().display()))
            .hint("`understory key show` shows its card; --keys names another folder");
    }
    // The next key first: a current key without its successor could never be replaced.
    keys.make(Role::Next)?;
    keys.make(Role::Current)?;
    if !place.json {
        println!("made two keys in {}", keys.dir().display());
        println!("next.pem replaces key.pem one day: keep a copy of it somewhere else");
    }
    show(place)
}

fn show(place: &KeyPlace) -> Result<()> {
    let keys = holder::keys(place.keys.as_deref())?;
    let card = keys.card()?;
    let (operator, witness) = (keys.public(Role::Operator).ok(), keys.public(Role::Witness).ok());
    let object = serde_json::json!({
        "key": card.key, "card": card.to_string(), "operator": operator, "witness": witness,
    });
    print(place.json, &object, || format!("key   {}\ncard  {card}\n", card.key))
}

/// Age files held the 32 bytes of the secret and nothing else.
fn import(name: KeyName, place: &KeyPlace) -> Result<()> {
    let keys = holder::keys(place.keys.as_deref())?;
    let role = match name {
        KeyName::Key => Role::Current,
        KeyName::Next => Role::Next,
        KeyName::Operator => Role::Operator,
        KeyName::Witness => Role::Witness,
    };
    let usage = "age -d key.age | understory key import";
    if std::io::stdin().is_terminal() {
        return Err(anyhow!("the key comes from standard input")).hint(usage);
    }
    // The whole of it, before anybody is asked for a passphrase: age may be asking for one now.
    let mut secret = Zeroizing::new(Vec::with_capacity(33));
    let input = std::io::stdin().lock().take(33).read_to_end(&mut secret);
    input.context("cannot read standard input")?;
    let seed: Seed = secret
        .as_slice()
        .try_into()
        .map(Zeroizing::new)
        .context("standard input is not what an age file of a key holds: 32 bytes")
        .hint(usage)?;
    let path = keys.import(&seed, role)?;
    let object = serde_json::json!({ "key": Identity::from_seed(*seed).id() });
    print(place.json, &object, || {
        format!(
            "the key is in {}\nthe age file is not read any more: remove it once you have a copy \
             of this one\n",
            path.display()
        )
    })
}

fn rotate(args: &RotateArgs) -> Result<()> {
    let devices = args.device.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let (guardians, threshold) = (args.guardian.clone(), args.threshold);
    let rotation = Rotation { devices, guardians, threshold };
    let mut workspace = opening::to_sign(&args.place)?;
    let said = workspace.rotate(&rotation, now())?;
    let statement =
        said.context("an earlier rotation is now complete; rotate again if you want another")?;
    opening::report(workspace.outcome(&statement), args.place.json, &statement)
}
