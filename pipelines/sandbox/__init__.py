"""The simulated PBX: the API over real HTTP on 127.0.0.1, for tests, benchmarks, `calls sandbox` and `calls demo`.

Data flow of a request: `http` (sockets) → `request_log` (arrivals, budget) → `requests` (checks the request) →
`call_list` (finds the page as of now) → `responses` (writes it as this PBX does) → `faults` (spoils it on demand) →
`http`. `server` connects these; `callcentre` simulates the calls.
"""
