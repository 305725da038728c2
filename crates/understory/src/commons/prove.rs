//! Proofs that stand alone: written by a member, checked by anybody.

use super::{
    cli::{CheckProofArgs, Place},
    opening,
};
use crate::units::time;
use anyhow::Result;
use commons::{
    Home,
    judge::{self, Found, Verdict},
    portable::{self, Portable},
};
use ids::plain_short;
use serde_json::json;
use std::{fmt::Write as _, path::Path, process::ExitCode};
use tlog::VerifierKey;

/// Writes the proof of a statement, or without one that of two histories.
pub fn prove(statement: Option<&str>, out: Option<&Path>, place: &Place) -> Result<()> {
    let workspace = opening::open(place)?;
    let proof = match statement {
        Some(text) => workspace.prove(text)?,
        None => workspace.prove_split()?,
    };
    let path = out.map_or_else(|| proof.file_name(), Path::to_owned);
    proof.write(&path)?;
    let id = proof.commons();
    let founded = judge::by_genesis(&proof, id, &[]).is_ok();
    if place.json {
        println!("{}", json!({ "written": path, "commons": id, "genesis_suffices": founded }));
        return Ok(());
    }
    println!("written to {}", path.display());
    if founded {
        println!("whoever knows the commons' id can check it:");
        println!("  understory commons check-proof {} --commons {id}", path.display());
    } else {
        println!("others than the genesis names signed or cosigned it: members can check it, with");
        println!("  understory commons check-proof {} --dir FOLDER", path.display());
    }
    Ok(())
}

/// Checks a proof from a file. One that can be read gets a verdict, whatever is in it.
pub fn check(args: &CheckProofArgs) -> Result<ExitCode> {
    let (proof, verdict) = match Portable::parse(&portable::read(&args.file)?) {
        Err(e) => (None, Err(e.into())),
        Ok(proof) => {
            let verdict = match (&args.dir, args.commons) {
                (Some(dir), _) => judge::by_log(&proof, &Home::open(dir)?)?,
                (None, Some(id)) => judge::by_genesis(&proof, id, &args.operator),
                (None, None) => unreachable!("the command line demands one of them"),
            };
            (Some(proof), verdict)
        }
    };
    if args.json {
        println!("{}", as_json(proof.as_ref(), &verdict));
    } else {
        print!("{}", as_text(proof.as_ref(), &verdict, args.dir.is_some()));
    }
    Ok(ExitCode::from(u8::from(verdict.is_err())))
}

fn as_json(proof: Option<&Portable>, verdict: &Verdict) -> serde_json::Value {
    let mut object = json!({ "holds": verdict.is_ok(), "problem": verdict.as_ref().err().map(ToString::to_string) });
    object["commons"] = json!(proof.map(Portable::commons));
    match proof {
        Some(Portable::Logged(logged)) => {
            let (statement, head) = (&logged.statement, logged.proof.checkpoint.checkpoint());
            object["index"] = logged.proof.index.into();
            object["statement"] = json!(statement.hash());
            object["kind"] = statement.body.kind_name().into();
            object["author"] = json!(statement.author);
            object["size"] = head.size.into();
            object["root"] = json!(head.root);
        }
        Some(Portable::Split(split)) => {
            let (a, b) = (split.split.a.checkpoint(), split.split.b.checkpoint());
            object["sizes"] = json!([a.size, b.size]);
            object["roots"] = json!([a.root, b.root]);
        }
        None => {}
    }
    match verdict {
        Ok(Found::Logged { cosigned, need }) => {
            let one = |(key, time): &(VerifierKey, u64)| json!({ "name": key.name().as_str(), "key": key.key(), "time": time });
            object["cosigned"] = cosigned.iter().map(one).collect();
            object["threshold"] = (*need).into();
        }
        Ok(Found::Split(operator)) => object["operator"] = json!(operator),
        Err(_) => {}
    }
    object
}

fn as_text(proof: Option<&Portable>, verdict: &Verdict, by_log: bool) -> String {
    let mut out = match (proof, verdict) {
        (Some(proof), Ok(found)) => format!("holds: {}\n{}", claim(proof), evidence(proof, found)),
        (_, Err(problem)) => format!("does not hold: {problem}\n"),
        (None, Ok(_)) => unreachable!("without a proof nothing is found"),
    };
    out.push_str(if by_log {
        "judged by the log here\n"
    } else {
        "judged by the genesis: whom members named operator or witness since, it does not know\n"
    });
    out
}

fn claim(proof: &Portable) -> String {
    let id = proof.commons();
    match proof {
        Portable::Logged(logged) => {
            format!("statement {} is in the log of commons {id}", logged.proof.index)
        }
        Portable::Split(_) => format!("the log of commons {id} was shown with two histories"),
    }
}

fn evidence(proof: &Portable, found: &Found) -> String {
    let mut out = String::new();
    match (proof, found) {
        (Portable::Logged(logged), Found::Logged { cosigned, need }) => {
            let (statement, head) = (&logged.statement, logged.proof.checkpoint.checkpoint());
            let _ = writeln!(out, "  statement  {}", statement.hash());
            let _ = writeln!(out, "  signed by  {}", statement.author);
            let said = format!("{:?}", statement.body);
            let _ = writeln!(out, "  says       {}", plain_short(&said, 1000));
            let _ = writeln!(out, "  log        {} statements, root {}", head.size, head.root);
            for (key, at) in cosigned {
                let _ = writeln!(out, "  cosigned   by {}, {}", key.name(), time(*at));
            }
            let _ = writeln!(out, "  {need} had to cosign; whether it counts only the log can say");
        }
        (Portable::Split(split), Found::Split(operator)) => {
            let _ = writeln!(out, "  operator   {operator}");
            for head in [&split.split.a, &split.split.b].map(|signed| signed.checkpoint()) {
                let _ = writeln!(out, "  signed     {} statements, root {}", head.size, head.root);
            }
            out.push_str("  neither history continues the other\n");
        }
        _ => unreachable!("what is found is of the proof's kind"),
    }
    out
}
