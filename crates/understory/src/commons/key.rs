//! `understory key`: making, showing, rotating, ending and recovering keys.

use super::{
    cli::{KeyCommand, KeyName, KeyPlace, RotateArgs},
    holder, opening,
};
use crate::hint::WithHint;
use anyhow::{Context, Result, anyhow, bail};
use commons::{
    keys::Role,
    statement::{DeviceKey, Key, KeyOp},
};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ids::{Hash, Identity, Signature, key_file::Seed};
use std::io::{IsTerminal, Read};
use zeroize::Zeroizing;

pub fn key(command: &KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Create(place) => create(place),
        KeyCommand::Show(place) => show(place),
        KeyCommand::Import { name, place } => import(*name, place),
        KeyCommand::Rotate(args) => rotate(args),
        KeyCommand::Revoke(place) => {
            let mut workspace = opening::to_sign(place)?;
            let member = workspace.me()?;
            let key = Key {
                member,
                op: KeyOp::Revoke,
                keys: Vec::new(),
                next: Hash::default(),
                guardians: Vec::new(),
                threshold: 0,
            };
            opening::say(&mut workspace, place.json, key).map(drop)
        }
        KeyCommand::Recover { member, place } => {
            let mut workspace = opening::to_sign(place)?;
            let identity = workspace.keys.identity(Role::Current)?;
            let member = workspace.member(member)?;
            let known = &workspace.state.members[&member];
            let key = Key {
                member,
                op: KeyOp::Recover,
                keys: vec![DeviceKey::bind(&identity, &workspace.state.id, &member)],
                next: workspace.keys.card()?.next,
                guardians: known.guardians.clone(),
                threshold: known.threshold,
            };
            let threshold = known.threshold;
            let statement = opening::say_as(&mut workspace, place.json, &identity, key)?;
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
            let identity = workspace.keys.identity(Role::Current)?;
            let member = workspace.member(member)?;
            let device = DeviceKey::bind(&identity, &workspace.state.id, &member);
            match place.json {
                true => println!("{}", serde_json::json!({ "device": device_text(&device) })),
                false => println!("{}", device_text(&device)),
            }
            Ok(())
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
    if place.json {
        let operator = keys.public(Role::Operator).ok();
        let witness = keys.public(Role::Witness).ok();
        let object = serde_json::json!({
            "key": card.key, "card": card.to_string(), "operator": operator, "witness": witness,
        });
        println!("{object}");
    } else {
        println!("key   {}", card.key);
        println!("card  {card}");
    }
    Ok(())
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
    match place.json {
        true => println!("{}", serde_json::json!({ "key": Identity::from_seed(*seed).id() })),
        false => {
            println!("the key is in {}", path.display());
            println!(
                "the age file is not read any more: remove it once you have a copy of this one"
            );
        }
    }
    Ok(())
}

fn rotate(args: &RotateArgs) -> Result<()> {
    let mut workspace = opening::to_sign(&args.place)?;
    let ahead = workspace.ahead()?;
    // The statement was signed, and the files were not renamed any more, or not all of them.
    if workspace.keys.is_halfway() || ahead.member_of(&workspace.keys.public(Role::Next)?).is_some()
    {
        workspace.keys.advance()?;
        bail!("an earlier rotation is now complete; rotate again if you want another");
    }
    let signer = workspace.keys.identity(Role::Next)?;
    // Also of a key that was revoked: the next one is there for that.
    let member = ahead
        .owner_of(&workspace.keys.public(Role::Current)?)
        .context("your key is in force for nobody here")
        .hint("begin with `understory commons introduce NAME`")?;
    let successor = workspace.keys.make_successor()?;
    let mut keys = vec![DeviceKey::bind(&signer, &workspace.state.id, &member)];
    for text in &args.device {
        keys.push(parse_device(text)?);
    }
    let guardians = match args.guardian.as_slice() {
        [] => ahead.members[&member].guardians.clone(),
        named => named.iter().map(|text| workspace.member(text)).collect::<Result<_, _>>()?,
    };
    let most = guardians.len() as u8 / 2 + 1;
    let threshold = if guardians.is_empty() { 0 } else { args.threshold.unwrap_or(most) };
    let key = Key {
        member,
        op: KeyOp::Rotate,
        keys,
        next: Key::digest(&successor.id()),
        guardians,
        threshold,
    };
    opening::say_as(&mut workspace, args.place.json, &signer, key)?;
    Ok(workspace.keys.advance()?)
}

fn device_text(device: &DeviceKey) -> String {
    format!("{}.{}", device.key, HEXLOWER.encode(&device.proof.0))
}

fn parse_device(text: &str) -> Result<DeviceKey> {
    let wrong = "a device is what `understory key device` prints on it";
    let (key, proof) = text.split_once('.').context(wrong)?;
    let bytes = HEXLOWER_PERMISSIVE.decode(proof.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).context(wrong)?;
    Ok(DeviceKey { key: key.parse()?, proof: Signature(bytes) })
}
