#!/usr/bin/env python3
"""Random elections, counted by other programs.

Usage: elections.py golden OUT_FILE            writes crates/decide/tests/golden/elections.txt
       elections.py check TALLY SEED COUNT     counts COUNT fresh elections with TALLY (the example
                                               `tally` of understory-commons) and compares

Needs `pref-voting` and `votelib`; `belenios-tool` (Debian) is asked too where it is installed. The
golden file says in its first lines how to read it.

Who is asked what:
  pref-voting   Schwartz set (gocha); Schulze by winning votes, fewer votes against breaking equals
                (beat_path); Scottish transferable votes, where no lot decides
  votelib       Schulze order by winning votes (its own paths), approval
  belenios      Schulze order by winning votes
"""
import json
import random
import shutil
import subprocess
import sys
from collections import Counter

from pref_voting.c1_methods import gocha
from pref_voting.margin_based_methods import beat_path
from pref_voting.profiles_with_ties import ProfileWithTies
from pref_voting.proportional_methods import stv_scottish
import votelib.convert
import votelib.evaluate.condorcet
import votelib.evaluate.core

GOLDEN_SEED = 2008
GOLDEN_COUNT = 5000
HEADER = """# Elections with random ballots and what other programs make of them, by oracle/elections.py.
# Unranked (L last, N no opinion), options, seats; ballots as TIMES:RANKING, ranks parted by >;
# then z Schwartz set, s Schulze's winners, o Schulze's strict order as PAIRS, v approved by most (the
# first rank approves), t elected by transferable vote. Options are letters.
"""


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "golden":
        golden(sys.argv[2])
    elif len(sys.argv) == 5 and sys.argv[1] == "check":
        check(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(__doc__)


def golden(path):
    rng = random.Random(GOLDEN_SEED)
    with open(path, "w", encoding="ascii") as out:
        out.write(HEADER)
        for _ in range(GOLDEN_COUNT):
            election = random_election(rng, small=True)
            expected = expect(election)
            ballots = " ".join(f"{n}:{ranking_text(r)}" for r, n in election["piles"])
            head = f"{'N' if election['no_opinion'] else 'L'} {election['options']} {election['seats']}"
            answers = " ".join(f"{key}={value}" for key, value in expected.items())
            out.write(f"{head} {ballots} {answers}\n")


def check(tally, seed, count):
    rng = random.Random(seed)
    elections = [random_election(rng, small=False) for _ in range(count)]
    questions, where = [], []
    for number, election in enumerate(elections):
        election["expected"] = expect(election)
        for method in ["Schulze", "Approval", "Stv"]:
            if method != "Stv" or "t" in election["expected"]:
                questions.append(question(election, method))
                where.append((number, method))
    lines = "".join(json.dumps(q) + "\n" for q in questions)
    answers = subprocess.run([tally], input=lines, capture_output=True, text=True, check=True).stdout
    wrong = Counter()
    for (number, method), line in zip(where, answers.splitlines(), strict=True):
        election, outcome = elections[number], json.loads(line)
        if not agrees(election["expected"], method, outcome):
            wrong[method] += 1
            print(f"seed {seed}, election {number}, {method}: {outcome}\n  {election}")
    print(f"{count} elections, {len(questions)} counts, seed {seed}: {sum(wrong.values())} differ")
    print(f"transferable votes without a lot: {sum('t' in e['expected'] for e in elections)}")
    differ = sum(belenios_differs(election) for election in elections) if belenios() else None
    print("belenios-tool: not installed" if differ is None else f"belenios-tool: {differ} differ")
    sys.exit(1 if wrong or differ else 0)


def agrees(expected, method, outcome):
    sets = [letters(s["set"]) for s in outcome["steps"] if s["step"] == "schwartz"]
    if method == "Schulze":
        return (sets[0], sets[-1]) == (expected["z"], expected["s"])
    if method == "Approval":
        approvals = [s["votes"] for s in outcome["steps"] if s["step"] == "approvals"]
        return letters(c for c, n in enumerate(approvals) if n == max(approvals)) == expected["v"]
    return letters(outcome["winners"]) == expected["t"]


def question(election, method):
    options = [
        {"name": f"option {n}", "ratio": {"num": 1, "den": 1}, "employer": None}
        for n in range(election["options"])
    ]
    ballots = [groups for groups, times in election["piles"] for _ in range(times)]
    return {
        "election": {
            "options": options,
            "default": None,
            "method": method,
            "unranked": "NoOpinion" if election["no_opinion"] else "Last",
            "tie": "Listed",
            "seats": election["seats"] if method == "Stv" else 1,
            "employer_cap": None,
            "quorum": "None",
            "electors": len(ballots),
        },
        "ballots": [{"voter": n, "groups": groups} for n, groups in enumerate(ballots)],
    }


def random_election(rng, small):
    """Rankings around a common order, around a circle, or of any kind; equal ranks and gaps or not."""
    options = rng.choice([2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 12] if small else [2, 3, 4, 5, 6, 7, 8, 10, 14, 20])
    kind, equal, full = rng.choice(["any", "any", "near", "circle"]), rng.random() < 0.5, rng.random() < 0.4
    piles = Counter()
    for _ in range(rng.randint(1, 6 if small else 25)):
        order = list(range(options))
        if kind == "any":
            rng.shuffle(order)
        elif kind == "near":
            order.sort(key=lambda option: option + rng.gauss(0, 1.5))
        else:
            turn = rng.randrange(options)
            order = order[turn:] + order[:turn]
        named = order if full else order[: rng.randint(1, options)]
        groups = []
        for option in named:
            if groups and equal and rng.random() < 0.3:
                groups[-1].append(option)
            else:
                groups.append([option])
        ranking = tuple(tuple(sorted(group)) for group in groups)
        piles[ranking] += rng.randint(1, 9)
    return {
        "options": options,
        "seats": rng.randint(1, max(1, min(4, options - 1))),
        "no_opinion": rng.random() < 0.4,
        "piles": sorted(piles.items()),
    }


def expect(election):
    """The answers of the other programs. Where two answer the same question, they must agree."""
    options = range(election["options"])
    profile = pref_voting_profile(election)
    graph = profile.margin_graph()

    def strength(a, b):
        return 100_000 * profile.support(a, b) - profile.support(b, a)

    expected = {"z": letters(gocha(graph)), "s": letters(beat_path(profile, strength_function=strength))}
    approvals = Counter()
    for groups, times in election["piles"]:
        approvals.update({option: times for option in groups[0]})
    most = votelib.evaluate.core.get_n_best(dict(approvals), 1)
    expected["v"] = letters(most[0] if isinstance(most[0], votelib.evaluate.core.Tie) else most)
    pairs = order_pairs(election, options)
    if pairs is not None:
        expected["o"] = pairs
    if all(len(group) == 1 for groups, _ in election["piles"] for group in groups):
        elected = transferable(profile, election["seats"])
        if elected is not None:
            expected["t"] = elected
    return expected


def pref_voting_profile(election):
    rankings = [
        {option: rank for rank, group in enumerate(groups, 1) for option in group}
        for groups, _ in election["piles"]
    ]
    counts = [times for _, times in election["piles"]]
    profile = ProfileWithTies(rankings, counts, candidates=list(range(election["options"])))
    if not election["no_opinion"]:
        profile.use_extended_strict_preference()
    return profile


def order_pairs(election, options):
    """Who is before whom by votelib's widest paths, where no two defeats have as many votes, so that
    votes against do not matter."""
    counts = Counter()
    for groups, times in election["piles"]:
        named = {option for group in groups for option in group}
        below = set(options) if not election["no_opinion"] else set(named)
        for group in groups:
            below -= set(group)
            counts.update({(a, b): times for a in group for b in below})
    wins = [n for (a, b), n in counts.items() if n > counts[b, a]]
    if len(wins) != len(set(wins)):
        return None
    # The paths are found in the order of a set, which for small integers is their own order.
    paths = votelib.evaluate.condorcet.Schulze.widest_paths(
        {(a, b): counts[a, b] for a in options for b in options if a != b}
    )
    before = [(a, b) for a in options for b in options if a != b and paths.get((a, b), 0) > paths.get((b, a), 0)]
    return ",".join(letter(a) + letter(b) for a, b in before) or "-"


class Lot:
    """Draws the same place each time."""

    def __init__(self, place):
        self.place = place

    def choice(self, things):
        return things[self.place]


def transferable(profile, seats):
    """The elected, or None where a lot could matter."""
    lots = [Lot(0), Lot(-1)] + [random.Random(n) for n in range(6)]
    results = {letters(stv_scottish(profile, num_seats=seats, rng=lot)) for lot in lots}
    return results.pop() if len(results) == 1 else None


def belenios():
    return shutil.which("belenios-tool")


def belenios_differs(election):
    """Its order is by votes for alone, so it is asked where those tell all defeats apart; it counts
    unranked as last."""
    pairs = election["expected"].get("o")
    if pairs is None or election["no_opinion"]:
        return False
    ballots = []
    for groups, times in election["piles"]:
        ranks = [0] * election["options"]
        for rank, group in enumerate(groups, 1):
            for option in group:
                ranks[option] = rank
        ballots += [ranks] * times
    command = ["belenios-tool", "method", "schulze", "--blank-allowed=false", f"--nchoices={election['options']}"]
    done = subprocess.run(command, input=json.dumps(ballots), capture_output=True, text=True, check=True)
    order = json.loads(done.stdout)["winners"]
    ours = set() if pairs == "-" else {tuple(pair) for pair in pairs.split(",")}
    for place, group in enumerate(order):
        later = [option for rest in order[place:] for option in rest]
        if any((letter(b), letter(a)) in ours for a in group for b in later):
            print(f"belenios: {order}, votelib: {pairs}")
            return True
    return False


def letter(option):
    return chr(ord("A") + option)


def letters(options):
    return "".join(letter(option) for option in sorted(options)) or "-"


def ranking_text(groups):
    return ">".join(letters(group) for group in groups)


if __name__ == "__main__":
    main()
