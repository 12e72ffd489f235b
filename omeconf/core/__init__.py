"""Pure: bytes in, values out. No os, time, threads, asyncio, logging or sockets in here."""
