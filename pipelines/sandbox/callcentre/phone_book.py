"""All phone numbers of a simulation."""

from dataclasses import dataclass

from pipelines.sandbox.callcentre.parameters import CallCentre

ANONYMOUS = ("anonymous", "private", "")  # shown for callers who hide their number


@dataclass(frozen=True)
class PhoneBook:
    """Every number of a simulation, by position: outside numbers, anonymous callers, then the centre's own numbers."""

    numbers: tuple[str, ...]
    first_anonymous: int
    first_inbound: int
    first_extension: int
    first_direct: int


def write_phone_book(centre: CallCentre) -> PhoneBook:
    """Collect the numbers. Outside numbers come from ranges reserved for fiction, which no subscriber has.

    Source: the lists of ACMA (Australia), Ofcom (Britain) and NANPA (North America).
    """
    outside = [f"+61{area}{n:04}" for area in ("35550", "75550", "85550", "37010", "77010") for n in range(10_000)]
    outside += [f"+44{area}{n:03}" for area in ("2079460", "7700900") for n in range(1000)]
    outside += [f"+1{area}55501{n:02}" for area in (212, 312, 415, 604, 808) for n in range(100)]
    inbound = [number for place in centre.places for number in place.numbers]
    numbers = (*outside, *ANONYMOUS, *inbound, *centre.extensions.values(), *centre.direct_numbers.values())
    first_inbound = len(outside) + len(ANONYMOUS)
    first_extension = first_inbound + len(inbound)
    first_direct = first_extension + len(centre.users)
    return PhoneBook(numbers, len(outside), first_inbound, first_extension, first_direct)
