"""Human review of a corpus on a local page: store, queue, server and page, agreement, export."""
