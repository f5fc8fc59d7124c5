"""A kernel of dicts, which stands where reconciler.kernel stands: it takes requests and shows rows.

space.py      one network namespace: what it holds
links.py      links, and what goes with them
addresses.py  addresses, and the routes that come and go with them
routes.py     routes: what the kernel takes, and what it refuses
settings.py   sysctls: how links are born with them, and those that change others
nft.py        nftables: tables as the program writes them
host.py       all namespaces, and requests carried out
seam.py       how it takes the place of the real one
"""
