"""The pages of the site: one file each, with its template beside the others; adding one edits no other."""
