"""The world of the live test: three regions with a POP and two model servers each, and callers in three countries.

Round trips are those that providers publish between such cities, rounded. No country of a caller is a region's own.
"""

from typing import Final

from msgspec import Struct


class Region(Struct, frozen=True):
    """A data centre: its POP, and its model servers, at one address."""

    name: str
    region: str
    country: str
    location: tuple[float, float]
    address: str

    @property
    def servers(self) -> tuple[str, str]:
        """Its backends, as the configuration names them."""
        return f"{self.name}-1", f"{self.name}-2"


class Home(Struct, frozen=True):
    """Where callers are: an address that the database knows, in a country."""

    country: str
    address: str
    nearest: str


REGIONS: Final = {
    "fra": Region("fra", "eu-central", "DE", (50.11, 8.68), "10.1.0.1"),
    "iad": Region("iad", "us-east", "US", (38.95, -77.45), "10.2.0.1"),
    "sin": Region("sin", "ap-southeast", "SG", (1.35, 103.82), "10.3.0.1"),
}
SERVERS: Final = {name: region.name for region in REGIONS.values() for name in region.servers}
# The addresses are of networks in these countries, and lead nowhere else from within the namespaces.
HOMES: Final = {
    "FR": Home("FR", "90.0.0.10", "fra"),
    "CA": Home("CA", "24.48.0.10", "iad"),
    "ID": Home("ID", "36.64.0.10", "sin"),
}
# Brazil is nearer to Virginia than to Frankfurt, and its packets take a detour by way of Asia there.
DETOUR: Final = Home("BR", "177.0.0.10", "fra")
ADDRESSES: Final = {region.address: name for name, region in REGIONS.items()} | {
    home.address: home.country for home in (*HOMES.values(), DETOUR)
}
ROUND_TRIPS_MS: Final = {
    ("fra", "iad"): 90.0,
    ("fra", "sin"): 160.0,
    ("iad", "sin"): 220.0,
    ("FR", "fra"): 10.0,
    ("FR", "iad"): 84.0,
    ("FR", "sin"): 156.0,
    ("CA", "iad"): 22.0,
    ("CA", "fra"): 100.0,
    ("CA", "sin"): 226.0,
    ("ID", "sin"): 16.0,
    ("ID", "fra"): 168.0,
    ("ID", "iad"): 234.0,
    ("BR", "iad"): 320.0,
    ("BR", "fra"): 195.0,
    ("BR", "sin"): 330.0,
}
GATEWAY_PORT: Final = 8080
FIRST_SERVER_PORT: Final = 8001


def round_trip_ms(one: str, other: str) -> float | None:
    """Between two places; None where no way leads from one to the other."""
    return ROUND_TRIPS_MS.get((one, other), ROUND_TRIPS_MS.get((other, one)))
