"""The first page: is all well, and what needs attention first?"""

from __future__ import annotations

from batchyard.console.rendering import render
from batchyard.console.site import Answer, PageRequest, Site


async def show(site: Site, request: PageRequest) -> Answer:
    queues = (await site.call(request.visitor, "yard", "ListQueues", {}))["queues"]
    return render(site, request, "overview.html", queues=queues)
