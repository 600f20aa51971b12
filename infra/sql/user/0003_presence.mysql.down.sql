-- Undoes 0003_presence: nobody is online, and nobody knows when they last were.
DROP TABLE presence_leases;
DROP TABLE presence_holds;
DROP TABLE presences;
