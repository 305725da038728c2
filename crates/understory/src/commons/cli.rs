//! The commands of a commons and their flags.

use super::flags::Flag;
use clap::{Args, Subcommand, ValueEnum};
use commons::statement::{House, ProposalType, Relation, TieRule, Unranked, Verdict};
use ids::{Hash, PeerId};
use std::path::PathBuf;

/// Where a commons and its member's keys are.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Use the commons in this folder
    #[arg(long, default_value = "understory-commons", value_name = "DIR")]
    pub dir: PathBuf,
    /// Use the keys in this folder. The default is understory/keys where the system keeps
    /// configurations
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where keys are.
#[derive(Args, Clone, Debug)]
pub struct KeyPlace {
    /// Use the keys in this folder. The default is understory/keys where the system keeps
    /// configurations
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Create a key and the one that will replace it, both encrypted with a passphrase
    ///
    /// The passphrase is asked for, or taken from UNDERSTORY_PASSPHRASE.
    Create(KeyPlace),
    /// Show the card that others need of you: public keys, nothing secret
    Show(KeyPlace),
    /// Take over a key that an earlier version kept in an age file
    ///
    /// The secret comes from standard input: `age -d key.age | understory key import`. The key's
    /// public part in the folder says which of your keys it is. It is put under a new passphrase,
    /// which is asked for, or taken from UNDERSTORY_PASSPHRASE.
    Import {
        /// Say which of your keys it is, where its public part is not in the folder
        #[arg(long = "as", value_enum, default_value_t = KeyName::Key, value_name = "KEY")]
        name: KeyName,
        #[command(flatten)]
        place: KeyPlace,
    },
    /// Replace your keys with the next key, and commit to a new next key
    Rotate(RotateArgs),
    /// Revoke the key of this device
    Revoke(Place),
    /// Ask your guardians to accept new keys after you lost the old ones; needs a new key folder
    Recover {
        /// Recover the member with this name or id
        member: String,
        #[command(flatten)]
        place: Place,
    },
    /// Print what a new device of yours has to hand over, for `rotate --device`
    Device {
        /// Give your own member id
        member: String,
        #[command(flatten)]
        place: Place,
    },
}

/// One of a person's keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KeyName {
    /// Signs for this device
    Key,
    /// Replaces it one day
    Next,
    /// Signs the checkpoints of logs operated here
    Operator,
    /// Cosigns as a witness
    Witness,
}

#[derive(Args, Debug)]
pub struct RotateArgs {
    /// Add a device with the text that `understory key device` printed there; repeat for each
    /// device
    #[arg(long, value_name = "TEXT")]
    pub device: Vec<String>,
    /// Name a member who helps if the keys are lost; repeat for each guardian
    #[arg(long, value_name = "MEMBER")]
    pub guardian: Vec<String>,
    /// Require this many guardians. The default is a majority of them
    #[arg(long)]
    pub threshold: Option<u8>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Subcommand, Debug)]
pub enum CommonsCommand {
    /// Start a commons
    Create(CreateArgs),
    /// Start a new commons with the history of this one
    Fork(ForkArgs),
    /// Fetch a commons from a member that serves it, and check everything
    Join(JoinArgs),
    /// Keep the log in step with the others and serve it and its page; operate and cosign where
    /// that is your task
    Serve(ServeArgs),
    /// Keep the log in step with the others and cosign its heads, as a witness whom the members
    /// named
    Witness(ServeArgs),
    /// Bring the log up to date, deliver what is waiting, and end
    Sync {
        /// Also ask the member with this ticket, besides the one you joined with
        #[arg(long, value_name = "TICKET")]
        peer: Vec<String>,
        /// Use this relay for members that cannot be reached directly: the URL of an iroh relay, or
        /// "public"
        #[arg(long, value_name = "URL")]
        relay: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Serve only the page
    Page {
        /// Serve the page at this port of 127.0.0.1; 0 chooses a free port
        #[arg(long, default_value_t = 7071)]
        port: u16,
        #[command(flatten)]
        place: Place,
    },
    /// Show members, lineage, milestones, questions, health or the log itself
    Show {
        /// Show this view of the commons
        #[arg(value_enum, default_value_t = Shown::Members)]
        view: Shown,
        /// Use the state of the log after this many statements
        #[arg(long)]
        at: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Print the digest of every view; members with the same log get the same digests
    Hash(Place),
    /// Check every statement, signature, root and checkpoint since the genesis
    ///
    /// Exit status: 0 everything is valid, 1 something is not, 2 it could not be checked.
    Verify(Place),
    /// Write the log as C2SP tiles and a checkpoint, which other programs read
    Export {
        /// Write into this folder, which must be empty or not exist yet
        to: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Write a proof, for somebody without the log, that a statement is in it
    ///
    /// The file is a C2SP tlog-proof with the statement in it.
    Prove {
        /// Use this statement: its number, or the beginning of its hash
        #[arg(required_unless_present = "split")]
        statement: Option<String>,
        /// Prove instead that the log's operator signed two histories
        #[arg(long, conflicts_with = "statement")]
        split: bool,
        /// Write this file, which must not exist yet
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Check a proof that `commons prove` wrote, without the log or the network
    ///
    /// Exit status: 0 the proof is valid, 1 it is not, 2 it could not be checked.
    CheckProof(CheckProofArgs),
    /// Introduce yourself as a person; members then have to vouch for you
    Introduce {
        /// Use this name
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Vouch that somebody is one person and is not here twice
    Vouch {
        /// Vouch for the member with this name or id
        member: String,
        /// Take the vouch back
        #[arg(long)]
        withdraw: bool,
        #[command(flatten)]
        place: Place,
    },
    /// State where you work
    Affiliation {
        /// Name this organisation
        org: String,
        /// State in which role you work there
        #[arg(long, default_value = "member")]
        role: String,
        /// State since when, in Unix seconds. The default is now
        #[arg(long)]
        from: Option<u64>,
        /// State until when, in Unix seconds. The default is no end
        #[arg(long)]
        to: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Declare a conflict of interest
    Conflict {
        /// Name the person, organisation or thing that the interest is in
        with: String,
        /// State that the interest has ended
        #[arg(long)]
        ended: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Choose the house you sit in
    House {
        /// Sit in this house
        #[arg(value_enum)]
        house: Flag<House>,
        #[command(flatten)]
        place: Place,
    },
    /// State that you use an artifact; this is what counts in the users' house
    Use {
        /// Name the artifact by this digest
        artifact: String,
        /// State for which organisation you use it
        #[arg(long)]
        by: Option<String>,
        /// State for how many days
        #[arg(long, default_value_t = 90)]
        days: u64,
        #[command(flatten)]
        place: Place,
    },
    /// Publish an artifact under a name
    Publish {
        /// Publish it under this name
        name: String,
        /// Publish the artifact with this digest, or this file
        artifact: String,
        /// State its licence as an SPDX expression
        #[arg(long, default_value = "")]
        licence: String,
        #[command(flatten)]
        place: Place,
    },
    /// State what was made from what
    Derive {
        /// Name the result by this digest
        child: String,
        /// Name a parent by its digest; repeat for each parent
        #[arg(long)]
        parent: Vec<String>,
        /// State how the result was made from its parents
        #[arg(long, value_enum, default_value_t = Flag(Relation::Tuned))]
        relation: Flag<Relation>,
        /// Name the recipe by its digest, or by a file whose digest is taken
        #[arg(long)]
        recipe: String,
        #[command(flatten)]
        place: Place,
    },
    /// Judge a statement: confirm it after repeating the work, or report what you found
    Check {
        /// Use this statement: its number, or the beginning of its hash
        statement: String,
        /// Report this result
        #[arg(value_enum)]
        verdict: Flag<Verdict>,
        /// Explain the result in words
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Name, as a steward, the key that will operate the log
    Operator {
        /// Name this key, or the key of this member
        key: String,
        #[command(flatten)]
        place: Place,
    },
    /// Give waiting statements their place now, as the log's operator
    Settle(Place),
    /// Print the witness key of the key folder; creates it if there is none
    WitnessKey(KeyPlace),
    /// Print the operator key of the key folder, for stewards to name; creates it if there is none
    OperatorKey(KeyPlace),
}

#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Give the commons this name
    pub name: String,
    /// Take the charter from this file
    #[arg(long, value_name = "FILE")]
    pub charter: Option<PathBuf>,
    /// Use this name for yourself
    #[arg(long, default_value = "founder")]
    pub me: String,
    /// Name another founder, who is a steward too; CARD is what `understory key show` prints.
    /// Repeat for each founder
    #[arg(long, value_name = "NAME=CARD")]
    pub founder: Vec<String>,
    /// Name a witness and its key; repeat for each witness. The default is a key of your own, which
    /// proves nothing to others
    #[arg(long, value_name = "NAME=KEY")]
    pub witness: Vec<String>,
    /// Require the signatures of this many witnesses. The default is a majority of them
    #[arg(long)]
    pub threshold: Option<u8>,
    /// Take the rules from this file; `understory commons show rules` prints one
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct ForkArgs {
    /// Give the commons this name
    pub name: String,
    /// Put the new commons into this folder
    pub to: PathBuf,
    /// Take over this many statements of the old commons. The default is all of them
    #[arg(long)]
    pub at: Option<u64>,
    /// Take along this member, by name or id, as a founder; repeat for each member
    #[arg(long, value_name = "MEMBER")]
    pub with: Vec<String>,
    /// Take a new charter from this file
    #[arg(long, value_name = "FILE")]
    pub charter: Option<PathBuf>,
    /// Name a witness and its key; repeat for each witness. The default is a key of your own
    #[arg(long, value_name = "NAME=KEY")]
    pub witness: Vec<String>,
    /// Require the signatures of this many witnesses. The default is a majority of them
    #[arg(long)]
    pub threshold: Option<u8>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct JoinArgs {
    /// Join with this ticket, which `understory commons serve` prints for another member
    pub ticket: String,
    /// Use this relay for members that cannot be reached directly: the URL of an iroh relay, or
    /// "public"
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Listen on this address; 127.0.0.1:0 accepts connections from this machine only
    #[arg(long, default_value = "0.0.0.0:0")]
    pub bind: std::net::SocketAddr,
    /// Also tell others this address, such as that of a forwarded port; repeat for each address
    #[arg(long)]
    pub external: Vec<std::net::SocketAddr>,
    /// Use this relay for members that cannot reach each other directly: the URL of an iroh relay,
    /// or "public"
    #[arg(long, value_name = "URL")]
    pub relay: Option<String>,
    /// Connect to the member with this ticket too; repeat for each member
    #[arg(long, value_name = "TICKET")]
    pub peer: Vec<String>,
    /// Do not operate the log, even though its key is here
    #[arg(long)]
    pub no_operate: bool,
    /// As the operator, ask witnesses to confirm the time after this many seconds without news
    #[arg(long, default_value_t = 600)]
    pub heartbeat: u64,
    /// Serve the page at this port of 127.0.0.1; 0 chooses a free port
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Do not serve the page
    #[arg(long)]
    pub no_page: bool,
    /// End when standard input closes
    #[arg(long, hide = true)]
    pub leash: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct CheckProofArgs {
    /// Check this file, which `commons prove` wrote
    pub file: PathBuf,
    /// Judge by the genesis of the commons with this id; the file contains it
    #[arg(long, value_name = "ID", required_unless_present = "dir", conflicts_with = "dir")]
    pub commons: Option<Hash>,
    /// With --commons, accept this key as an operator of the log since the genesis; repeat for each
    /// key
    #[arg(long, value_name = "KEY", requires = "commons")]
    pub operator: Vec<PeerId>,
    /// Judge by the log of the commons in this folder
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Who the members are
    Members,
    /// What was made from what
    Lineage,
    /// Records of training runs that members have marked
    Milestones,
    /// Questions and how they stand
    Questions,
    /// Whether the log is in good order
    Health,
    /// The rules in force, as TOML
    Rules,
    /// The charter
    Charter,
    /// Every statement
    Log,
    /// Statements that wait for their place
    Waiting,
}

#[derive(Args, Debug)]
pub struct ProposeArgs {
    /// Ask this question, in one line
    pub title: String,
    /// State what the question is about, which decides what it takes to pass
    #[arg(long, value_enum, default_value_t = Flag(ProposalType::Question))]
    pub topic: Flag<ProposalType>,
    /// Take the full text of the question from this file
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Offer this option; repeat for each option. It is a file for a charter or rules, a member for
    /// stewards or a removal
    #[arg(long = "option", value_name = "OPTION")]
    pub options: Vec<String>,
    /// Use this text for the option "none of these", which is added last. An election of stewards
    /// has none
    #[arg(long, default_value = "none of these")]
    pub default: String,
    /// Count the ballots by this method. The default is schulze, for stewards stv
    #[arg(long, value_enum)]
    pub method: Option<Flag<decide::Method>>,
    /// Choose what it means that a ballot does not rank an option
    #[arg(long, value_enum, default_value_t = Flag(Unranked::Last))]
    pub unranked: Flag<Unranked>,
    /// Choose what settles a tie. The default is the option listed first; with --secret it is a lot
    #[arg(long, value_enum)]
    pub tie: Option<Flag<TieRule<(), ()>>>,
    /// Let this many options win, or this many members sit on the panel. The default for stewards is
    /// the seats whose terms end
    #[arg(long)]
    pub seats: Option<u16>,
    /// Require this majority over the default option, such as 3:1
    #[arg(long, default_value = "1:1")]
    pub majority: String,
    /// Let one employer have at most this part of the seats, such as 1/3
    #[arg(long)]
    pub cap: Option<String>,
    /// Keep this many seats of a panel for a house or an employer, such as users=1..2; repeat for
    /// each
    #[arg(long, value_name = "NAME=MIN..MAX")]
    pub quota: Vec<String>,
    /// Keep it open for this many seconds beyond the notice that the rules require
    #[arg(long, default_value_t = 60)]
    pub open: u64,
    /// Keep ballots secret until the close. They are revealed within this many seconds after it, or
    /// within the notice if that is longer. A panel is always drawn from secrets
    #[arg(long, value_name = "SECONDS")]
    pub secret: Option<u64>,
    /// Appeal against this question: its number, or the beginning of its hash
    #[arg(long)]
    pub appeal: Option<String>,
    /// Count, for the cap, the seats that are already held, as members listed them by this question
    #[arg(long, value_name = "QUESTION")]
    pub held: Option<String>,
    /// Read the options as files that list held seats: each has a `committee`, and a `[[seat]]`
    /// with `name`, `org` and `until` for each seat
    #[arg(long)]
    pub list: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct VoteArgs {
    /// Use this question: its number, or the beginning of its hash
    pub question: String,
    /// Rank these options, best first: by name, by the beginning of a name, or by number as #3.
    /// Join equal ones by =, as in East #1=#3
    pub ranking: Vec<String>,
    /// Reveal your secret ballot after the close
    #[arg(long, conflicts_with = "ranking")]
    pub reveal: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Debug)]
pub struct TallyArgs {
    /// Count this question: its number, or the beginning of its hash. The default is all questions
    pub question: Option<String>,
    /// Show the pairwise matrix and every step in words
    #[arg(long)]
    pub explain: bool,
    /// Use the state of the log after this many statements
    #[arg(long)]
    pub at: Option<u64>,
    #[command(flatten)]
    pub place: Place,
}

/// One question.
#[derive(Args, Debug)]
pub struct QuestionArgs {
    /// Use this question: its number, or the beginning of its hash
    pub question: String,
    /// Use the state of the log after this many statements
    #[arg(long)]
    pub at: Option<u64>,
    #[command(flatten)]
    pub place: Place,
}
