"""The pages of the site: one file each. A new page needs no edit in other files."""
