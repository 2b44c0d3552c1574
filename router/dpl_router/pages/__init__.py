"""The pages for people: an overview of the fleet and a chat, rendered here, live in the browser."""
